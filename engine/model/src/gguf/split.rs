//! Models in several GGUF files: `NAME-00001-of-00003.gguf` and so on, of which the first has the metadata. After
//! `llama_split_path` and `llama-model-loader.cpp` of llama.cpp.

use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

use super::Gguf;
use super::header::Header;
use super::value::Value;

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";
const ENDING: &str = ".gguf";
/// Files of one model.
const MAX_FILES: u64 = 1024;

/// Whether a file is one of this kind by its name.
pub fn is_gguf(name: &str) -> bool {
    name.len() > ENDING.len()
        && name.get(name.len() - ENDING.len()..).is_some_and(|end| end.eq_ignore_ascii_case(ENDING))
}

/// What stands before the numbers in the name of one of several files, its number from 1 on, and how many there are.
fn split_name(name: &str) -> Option<(&str, u64, u64)> {
    let (rest, count) = name.strip_suffix(ENDING)?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let parsed =
        |digits: &str| Some(digits).filter(|d| d.len() == 5 && d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let (number, count): (u64, u64) = (parsed(number)?, parsed(count)?);
    (!stem.is_empty() && (1..=count).contains(&number)).then_some((stem, number, count))
}

fn name_of(stem: &str, number: u64, count: u64) -> String {
    format!("{stem}-{number:05}-of-{count:05}{ENDING}")
}

/// The first file of the model that the file of this name is a part of.
pub fn first_of(name: &str) -> String {
    split_name(name).map_or_else(|| name.into(), |(stem, _, count)| name_of(stem, 1, count))
}

/// The names of all files of the model whose first file has this name.
pub fn parts(first: &str) -> Vec<String> {
    match split_name(first) {
        Some((stem, _, count)) => (1..=count.min(MAX_FILES)).map(|number| name_of(stem, number, count)).collect(),
        None => vec![first.into()],
    }
}

/// A file's name without ending and numbers.
pub fn model_name(file: &str) -> &str {
    let plain = || file.len().checked_sub(ENDING.len()).filter(|_| is_gguf(file)).and_then(|end| file.get(..end));
    split_name(file).map(|(stem, ..)| stem).or_else(plain).unwrap_or(file)
}

/// The other files of a model, by its first file's name.
pub(super) fn others(first: &Gguf) -> Result<Vec<String>> {
    let count = match first.get(COUNT) {
        None => return Ok(Vec::new()),
        Some(value) => value.count().filter(|count| *count <= MAX_FILES),
    };
    let count =
        count.ok_or_else(|| first.bad(COUNT, format!("is no number of files; at most {MAX_FILES} are expected")))?;
    if count <= 1 {
        return Ok(Vec::new());
    }
    if first.get(NUMBER).and_then(Value::count) != Some(0) {
        return Err(first.bad(NUMBER, "is not 0, as the first of several files has it"));
    }
    match split_name(&first.file) {
        Some((_, 1, named)) if named == count => Ok(parts(&first.file).split_off(1)),
        _ => Err(first.bad(COUNT, format!("is {count}; such a file is called NAME-00001-of-{count:05}{ENDING}"))),
    }
}

/// Whether another file belongs to the first.
pub(super) fn check_other(first: &Gguf, file: &str, header: &Header) -> Result<()> {
    let number = split_name(file).map(|(_, number, _)| number - 1);
    let count = |key: &str| header.metadata.get(key).and_then(Value::count);
    if count(COUNT) != first.get(COUNT).and_then(Value::count) || count(NUMBER) != number {
        let reason =
            format!("is not the part of {} that its name says, by its {NUMBER} and {COUNT}", shown(&first.file));
        return Err(Error::BadFile { file: file.into(), reason });
    }
    Ok(())
}

/// Whether all files together have as many tensors as they say.
pub(super) fn check_count(first: &Gguf, found: usize) -> Result<()> {
    match first.get(TENSORS).map(Value::count) {
        Some(stated) if stated != Some(found as u64) => {
            let stated = stated.map_or_else(|| "no number".into(), |stated| stated.to_string());
            Err(first.bad(TENSORS, format!("is {stated}; the files have {found} tensors")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_several_files() {
        assert_eq!(first_of("a/m-00002-of-00003.gguf"), "a/m-00001-of-00003.gguf");
        assert_eq!(parts("m-00001-of-00002.gguf"), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        assert_eq!(model_name("m-00001-of-00002.gguf"), "m");
        assert_eq!(model_name("m.Q4_K_M.GGUF"), "m.Q4_K_M");
        for plain in
            ["m.gguf", "m-0001-of-0002.gguf", "m-00003-of-00002.gguf", "-00001-of-00002.gguf", "m-00001-of-00002"]
        {
            assert_eq!(parts(plain), [plain]);
            assert_eq!(first_of(plain), plain);
        }
        assert!(is_gguf("a.gguf") && is_gguf("A.GGUF") && !is_gguf(".gguf") && !is_gguf("é.ggufx") && !is_gguf("gguf"));
    }
}
