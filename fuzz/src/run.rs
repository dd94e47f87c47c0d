//! A run of one target: the corpus first, then damaged copies of it until the time is over.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::damage::{self, Damage};
use crate::guard::Watch;

/// Seconds for a target where the environment names none.
const SECONDS: u64 = 8;
/// Bytes of an input at most; a good one that is longer stays whole.
const MOST_BYTES: usize = 1 << 20;
/// Attempts to make a failing input smaller.
const SHRINKS: usize = 2000;

/// A reader of what a stranger hands in.
pub struct Target {
    pub name: &'static str,
    /// good inputs, or bad ones of which each is bad in its own way
    pub corpus: Vec<Vec<u8>>,
    /// what means something to the reader
    pub words: &'static [&'static str],
    /// must return, whatever it is given
    pub read: fn(&[u8]),
}

/// Tries `target` for `UNDERSTORY_FUZZ_SECONDS`, with the seed `UNDERSTORY_FUZZ_SEED` where one is named.
///
/// # Panics
/// For an input at which the reader panics. One that ends the process or hangs is left in `folder`, as `NAME.input`.
pub fn fuzz(target: &Target, folder: &Path) {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(number("UNDERSTORY_FUZZ_SECONDS").unwrap_or(SECONDS));
    let seed = number("UNDERSTORY_FUZZ_SEED").unwrap_or(0);
    let input = folder.join(format!("{}.input", target.name));
    let one = Trial { target, watch: Watch::new(&input), input };
    for good in &target.corpus {
        one.read(good).unwrap_or_else(|message| one.fail(good, &message));
    }
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let strategy = (proptest::arbitrary::any::<Index>(), damage::any(target.words));
    let (start, mut count) = (Instant::now(), 0u64);
    while start.elapsed() < time {
        let tree = strategy.new_tree(&mut runner).expect("nothing is rejected");
        count += 1;
        if let Err(message) = one.read(&one.damaged(&tree.current())) {
            let (bytes, message) = one.smaller(tree, message);
            one.fail(&bytes, &message);
        }
    }
    println!("{}: {} inputs as they are and {count} damaged ones, seed {seed}", target.name, target.corpus.len());
}

/// One input after another.
struct Trial<'a> {
    target: &'a Target,
    watch: Watch,
    /// where the input stands while it is tried
    input: PathBuf,
}

impl Trial<'_> {
    fn damaged(&self, (which, changes): &(Index, Vec<Damage>)) -> Vec<u8> {
        let good = &self.target.corpus[which.index(self.target.corpus.len())];
        damage::apply(good, changes, MOST_BYTES.max(good.len()))
    }

    /// The words of the panic, where there was one.
    fn read(&self, bytes: &[u8]) -> Result<(), String> {
        // What ends the process leaves no other trace.
        fs::write(&self.input, bytes).expect("the folder can be written to");
        self.watch.over(|| catch_unwind(AssertUnwindSafe(|| (self.target.read)(bytes)))).map_err(|payload| {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
        })
    }

    fn smaller(&self, mut tree: impl ValueTree<Value = (Index, Vec<Damage>)>, message: String) -> (Vec<u8>, String) {
        let mut smallest = (self.damaged(&tree.current()), message);
        let mut more = tree.simplify();
        for _ in 0..SHRINKS {
            if !more {
                break;
            }
            let bytes = self.damaged(&tree.current());
            more = match self.read(&bytes) {
                Err(message) => {
                    smallest = (bytes, message);
                    tree.simplify()
                }
                Ok(()) => tree.complicate(),
            };
        }
        smallest
    }

    fn fail(&self, bytes: &[u8], message: &str) -> ! {
        let mut hash = DefaultHasher::new();
        bytes.hash(&mut hash);
        let kept = self.input.with_file_name(format!("{}-{:016x}", self.target.name, hash.finish()));
        fs::write(&kept, bytes).expect("the folder can be written to");
        let name = self.target.name;
        panic!(
            "{name}: {message}\nThe input is {}; mend the reader and move it to fuzz/corpus/{name}.",
            kept.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader with a fault that only damage brings about: a harness that never tries, or takes a panic for a success,
    /// fails this.
    #[test]
    fn a_fault_is_found() {
        fn read(bytes: &[u8]) {
            assert!(!bytes.windows(2).any(|pair| pair == b"!!"), "two marks");
        }
        let folder = tempfile();
        let target = Target { name: "marks", corpus: vec![b"say hello!".to_vec()], words: &["!"], read };
        let found = catch_unwind(AssertUnwindSafe(|| fuzz(&target, &folder))).expect_err("it is found");
        let message = found.downcast_ref::<String>().expect("words");
        assert!(message.contains("two marks"), "{message}");
        fs::remove_dir_all(folder).expect("it was made above");
    }

    fn tempfile() -> PathBuf {
        let folder = env::temp_dir().join(format!("understory-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    }
}
