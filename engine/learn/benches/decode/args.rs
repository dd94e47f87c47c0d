//! The benchmark's arguments: `--name value` pairs after the mode.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use understory_protocol::KernelSet;

use crate::Outcome;
use crate::synthetic::Sizes;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Tales,
    Synthetic,
}

pub struct Args {
    pub mode: Mode,
    pub rounds: usize,
    pub n_out: usize,
    pub engines: Vec<String>,
    pub prompt: String,
    /// prompt tokens of the synthetic model
    pub n_prompt: usize,
    pub model: PathBuf,
    pub device: Option<usize>,
    pub profile: Option<KernelSet>,
    pub sizes: Sizes,
}

impl Args {
    /// # Errors
    /// Names the argument that is unknown, lacks its value or has one that does not fit.
    pub fn parse() -> Outcome<Self> {
        let mut args = Self {
            mode: Mode::Tales,
            rounds: 3,
            n_out: 64,
            engines: ["burn-f32", "f16", "f32"].map(str::to_owned).to_vec(),
            prompt: "Once upon a time there was a king who had three sons".into(),
            n_prompt: 16,
            model: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales"),
            device: None,
            profile: None,
            sizes: Sizes::default(),
        };
        let mut given = std::env::args().skip(1);
        while let Some(name) = given.next() {
            match name.as_str() {
                // cargo adds it
                "--bench" => continue,
                "tales" => args.mode = Mode::Tales,
                "synthetic" => args.mode = Mode::Synthetic,
                _ => {
                    let value =
                        given.next().ok_or_else(|| format!("{name}: a mode is expected, or a value after it"))?;
                    args.set(&name, &value)?;
                }
            }
        }
        Ok(args)
    }

    fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        match name {
            "--rounds" => self.rounds = number(name, value)?,
            "--n-out" => self.n_out = number(name, value)?,
            "--n-prompt" => self.n_prompt = number(name, value)?,
            "--layers" => self.sizes.layers = number(name, value)?,
            "--hidden" => self.sizes.hidden = number(name, value)?,
            "--heads" => self.sizes.heads = number(name, value)?,
            "--vocab" => self.sizes.vocab = number(name, value)?,
            "--device" => self.device = Some(number(name, value)?),
            "--prompt" => self.prompt = value.into(),
            "--model" => self.model = value.into(),
            "--engines" => self.engines = value.split(',').map(str::to_owned).collect(),
            "--profile" => {
                self.profile = match value {
                    "gpu" => Some(KernelSet::Gpu),
                    "cpu" => Some(KernelSet::Cpu),
                    _ => return Err(format!("--profile {value}: expected gpu or cpu").into()),
                }
            }
            _ => return Err(format!("{name}: no such argument").into()),
        }
        Ok(())
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Outcome<T> {
    value.parse().map_err(|_| format!("{name} {value}: expected a whole number").into())
}
