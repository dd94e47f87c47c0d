//! Where tensors come from and which ones a model needs, in one layout for every family.
//!
//! A [`Slot`] is a place in the shared blocks; [`ModelWeights`] fills it from the files, whatever the
//! family calls it and however it stores it (fused, interleaved, transposed), as rows of f32.

mod convert;
mod names;
mod slots;
mod tied;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use understory_protocol::{Error, Result};

use self::names::{Form, Names};
use self::slots::Layout;
use super::config::ModelConfig;
use super::files::ModelFiles;
use super::safetensors::{StoredDtype, TensorEntry, read_header, weight_files};

/// A tensor of the shared blocks. Matrices are row-major `[out_features, in_features]`: `y = W x + b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `[vocab_size, hidden_size]`
    Embedding,
    /// `[max_position_embeddings, hidden_size]`, learned positions only
    PositionEmbedding,
    /// `[hidden_size]`
    FinalNorm,
    FinalNormBias,
    /// `[vocab_size, hidden_size]`; the embedding itself where tied
    LmHead,
    LmHeadBias,
    Layer(usize, LayerSlot),
}

/// A tensor of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerSlot {
    /// `[hidden_size]`, before attention
    AttnNorm,
    AttnNormBias,
    /// `[q_dim + 2 * kv_dim, hidden_size]`: all q heads, then all k heads, then all v heads
    Qkv,
    QkvBias,
    /// `[head_dim]`
    QNorm,
    KNorm,
    /// `[hidden_size, q_dim]`
    AttnOut,
    AttnOutBias,
    /// `[hidden_size]`, after attention (Gemma 3)
    PostAttnNorm,
    /// `[hidden_size]`, before the MLP
    MlpNorm,
    MlpNormBias,
    /// gated: `[2 * intermediate_size, hidden_size]`, all gate rows, then all up rows; plain: `[intermediate_size, hidden_size]`
    MlpUp,
    MlpUpBias,
    /// `[hidden_size, intermediate_size]`
    MlpDown,
    MlpDownBias,
    /// `[hidden_size]`, after the MLP (Gemma 3)
    PostMlpNorm,
}

/// The tensors of one model: where they are, checked; their data is read on demand.
pub struct ModelWeights<'a> {
    files: &'a dyn ModelFiles,
    architecture: &'static str,
    order: Vec<Slot>,
    places: HashMap<Slot, Place>,
    tied: bool,
    /// the tensor that is being read, where its features do not lie together
    whole: RefCell<Option<WholeTensor>>,
}

/// All bytes of a stored tensor, held until its last feature was read, so that reading it in pieces reads the file once.
struct WholeTensor {
    file: String,
    offset: u64,
    bytes: Vec<u8>,
}

/// Where the values of one slot lie.
struct Place {
    layout: Layout,
    /// stacked along the output features
    pieces: Vec<Piece>,
}

/// A stored tensor as a part of a slot.
struct Piece {
    file: String,
    /// bytes in the file
    offset: u64,
    len: u64,
    dtype: StoredDtype,
    form: Form,
    features: usize,
    /// inputs of a feature; 1 in a vector
    width: usize,
    head_dim: usize,
}

impl<'a> ModelWeights<'a> {
    /// Reads the headers and checks every tensor that a model of this configuration needs. Others are ignored (masks and
    /// frequencies that some checkpoints store). No data is read, but where the configuration ties the head to the
    /// embedding and the files hold both: they are tied if they are the same, as transformers has it.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::WrongShape`], [`Error::UnknownDtype`] for a tensor;
    /// [`Error::Truncated`], [`Error::BadFile`], [`Error::NotAModel`], [`Error::Io`] for a file.
    pub fn open(files: &'a dyn ModelFiles, config: &ModelConfig) -> Result<Self> {
        let mut stored = HashMap::new();
        for file in weight_files(files)? {
            for (name, entry) in read_header(files, &file)? {
                stored.insert(name, (file.clone(), entry));
            }
        }
        let tensors = Stored { names: Names::of(config.family), stored, config };
        let prefix = tensors.prefix();
        let tied = config.tie_word_embeddings && tensors.are_tied(files, prefix)?;
        let needed = slots::needed(config, tied);
        let mut places = HashMap::with_capacity(needed.len());
        for &(slot, layout) in &needed {
            places.insert(slot, tensors.place(prefix, slot, layout)?);
        }
        Ok(Self {
            files,
            architecture: config.family.model_type(),
            order: needed.into_iter().map(|(slot, _)| slot).collect(),
            places,
            tied,
            whole: RefCell::default(),
        })
    }

    /// Every slot that the model needs: the embeddings, the layers in order, the final norm, and the head where it
    /// is not the embedding.
    pub fn slots(&self) -> Vec<Slot> {
        self.order.clone()
    }

    /// Whether the head is the embedding. A configuration that says so is not believed where the files hold two.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    fn place(&self, slot: Slot) -> Option<&Place> {
        let slot = if self.tied && slot == Slot::LmHead { Slot::Embedding } else { slot };
        self.places.get(&slot)
    }

    /// `[rows, columns]`; a vector is `[1, n]`. `None`: the model has no such slot.
    pub fn shape(&self, slot: Slot) -> Option<[usize; 2]> {
        self.place(slot).map(|place| place.layout.shape())
    }

    /// Replaces `out` by the rows of a slot, `[rows.len(), columns]` in the layout that [`Slot`] documents, whatever
    /// the files' own. Only the parts of the files that hold these rows are read, except for tensors that are stored
    /// by head or transposed: these are read whole, and held until their last row was asked for.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] for a slot that the model does not have; [`Error::Io`], [`Error::Truncated`] where
    /// the files changed since they were opened.
    ///
    /// # Panics
    /// If `rows` is not within the slot's rows.
    pub fn read_rows(&self, slot: Slot, rows: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        out.clear();
        let missing = || Error::MissingTensor { name: format!("{slot:?}"), architecture: self.architecture.into() };
        let place = self.place(slot).ok_or_else(missing)?;
        let [n_rows, n_columns] = place.layout.shape();
        assert!(rows.start <= rows.end && rows.end <= n_rows, "rows {rows:?} of {slot:?}, which has {n_rows}");
        out.reserve_exact(rows.len() * n_columns);
        let wanted = place.layout.features(rows);
        let mut first = 0;
        for piece in &place.pieces {
            let last = first + piece.features;
            let part = wanted.start.clamp(first, last)..wanted.end.clamp(first, last);
            if !part.is_empty() {
                self.read_piece(piece, part.start - first..part.end - first, out)?;
            }
            first = last;
        }
        Ok(())
    }

    /// Appends `features` of a stored tensor, each of its width.
    fn read_piece(&self, piece: &Piece, features: Range<usize>, out: &mut Vec<f32>) -> Result<()> {
        let gather = match piece.form {
            Form::Rows => {
                let feature_bytes = piece.width as u64 * piece.dtype.bytes();
                let offset = piece.offset + features.start as u64 * feature_bytes;
                let bytes = self.files.range(&piece.file, offset, features.len() as u64 * feature_bytes)?;
                convert::append(&bytes, piece.dtype, out);
                return Ok(());
            }
            Form::PerHead => Piece::by_head,
            Form::Transposed => Piece::transpose,
        };
        let is_last = features.end == piece.features;
        let mut held = self.whole.borrow_mut();
        // Another tensor is let go of first, so that there is never more than one.
        let whole = match held.take().filter(|whole| (&whole.file, whole.offset) == (&piece.file, piece.offset)) {
            Some(whole) => whole,
            None => {
                let bytes = self.files.range(&piece.file, piece.offset, piece.len)?.into_owned();
                WholeTensor { file: piece.file.clone(), offset: piece.offset, bytes }
            }
        };
        gather(piece, &whole.bytes, features, out);
        *held = Some(whole).filter(|_| !is_last);
        Ok(())
    }

    /// Bytes of the largest stored tensor among those needed.
    pub fn largest_tensor_bytes(&self) -> u64 {
        self.places.values().flat_map(|place| &place.pieces).map(|piece| piece.len).max().unwrap_or(0)
    }
}

/// What the headers list, under the family's names.
struct Stored<'a> {
    names: &'static Names,
    stored: HashMap<String, (String, TensorEntry)>,
    config: &'a ModelConfig,
}

impl Stored<'_> {
    /// The prefix that these files use: the one under which there is an embedding, or a final norm, else the usual one.
    fn prefix(&self) -> &'static str {
        let prefixes = self.names.prefixes;
        let under = |name: &str| prefixes.iter().find(|prefix| self.stored.contains_key(&format!("{prefix}{name}")));
        under(self.names.embedding).or_else(|| under(self.names.final_norm)).unwrap_or(&prefixes[0])
    }

    /// Names of the tensors that make up a slot, and how they are stored.
    fn tensors(&self, prefix: &str, slot: Slot) -> (Vec<String>, Form) {
        let names = self.names;
        let one = |name: &str| (vec![format!("{prefix}{name}")], Form::Rows);
        match slot {
            Slot::Embedding => (vec![self.embedding(prefix)], Form::Rows),
            Slot::PositionEmbedding => one(names.position_embedding),
            Slot::FinalNorm => one(names.final_norm),
            Slot::FinalNormBias => one(names.final_norm_bias),
            Slot::LmHead => (vec![self.head().unwrap_or(names.lm_head[0]).into()], Form::Rows),
            Slot::LmHeadBias => (vec![names.lm_head[0].replace("weight", "bias")], Form::Rows),
            Slot::Layer(layer, slot) => match names.layer_name(slot) {
                Some(name) => {
                    let full = |tensor: &&str| format!("{prefix}{}{layer}.{tensor}", names.layers);
                    (name.tensors.iter().map(full).collect(), name.form)
                }
                None => (vec![format!("{slot:?}")], Form::Rows),
            },
        }
    }

    fn place(&self, prefix: &str, slot: Slot, layout: Layout) -> Result<Place> {
        let (tensors, form) = self.tensors(prefix, slot);
        let parts = layout.parts(slot, tensors.len(), self.config);
        let pieces = tensors.iter().zip(parts).map(|(name, features)| self.piece(name, features, layout, form));
        Ok(Place { layout, pieces: pieces.collect::<Result<_>>()? })
    }

    fn piece(&self, name: &str, features: usize, layout: Layout, form: Form) -> Result<Piece> {
        let architecture = self.config.family.model_type();
        let missing = || Error::MissingTensor { name: name.into(), architecture: architecture.into() };
        let (file, entry) = self.stored.get(name).ok_or_else(missing)?;
        let dtype = entry.dtype(name)?;
        let expected = match (layout, form) {
            (Layout::Vector(_), _) => vec![features],
            (Layout::Matrix(_, columns), Form::Transposed) => vec![columns, features],
            (Layout::Matrix(_, columns), _) => vec![features, columns],
        };
        if !entry.shape.iter().copied().eq(expected.iter().map(|&n| n as u64)) {
            let actual = entry.shape.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
            return Err(Error::WrongShape { name: name.into(), expected, actual });
        }
        Ok(Piece {
            file: file.clone(),
            offset: entry.offset,
            len: entry.len,
            dtype,
            form,
            features,
            width: if let Layout::Matrix(_, columns) = layout { columns } else { 1 },
            head_dim: self.config.head_dim,
        })
    }
}

impl Piece {
    /// Appends `features` of a tensor stored by head.
    fn by_head(&self, bytes: &[u8], features: Range<usize>, out: &mut Vec<f32>) {
        let feature_bytes = self.width * self.dtype.bytes() as usize;
        let mut next = features.start;
        while next < features.end {
            let (stored, run) = self.per_head(next);
            let run = run.min(features.end - next);
            convert::append(&bytes[stored * feature_bytes..(stored + run) * feature_bytes], self.dtype, out);
            next += run;
        }
    }

    /// Where feature `canonical` (all q heads, all k, all v) lies in `[n_heads, (q, k, v), head_dim]`, and how many
    /// features from there on are contiguous in both.
    fn per_head(&self, canonical: usize) -> (usize, usize) {
        let part_features = self.features / 3;
        let (part, within) = (canonical / part_features, canonical % part_features);
        let (head, dim) = (within / self.head_dim, within % self.head_dim);
        ((head * 3 + part) * self.head_dim + dim, self.head_dim - dim)
    }

    /// Appends `features` of a tensor stored as `[width, self.features]`, a few inputs at a time, so that both the
    /// reads and the writes run along lines.
    fn transpose(&self, bytes: &[u8], features: Range<usize>, out: &mut Vec<f32>) {
        const INPUTS: usize = 16;
        let element = self.dtype.bytes() as usize;
        let start = out.len();
        let n = features.len();
        out.resize(start + n * self.width, 0.0);
        let mut block = Vec::with_capacity(INPUTS * n);
        for first in (0..self.width).step_by(INPUTS) {
            let inputs = INPUTS.min(self.width - first);
            block.clear();
            for input in first..first + inputs {
                let from = (input * self.features + features.start) * element;
                convert::append(&bytes[from..from + n * element], self.dtype, &mut block);
            }
            for (feature, row) in out[start..].chunks_exact_mut(self.width).enumerate() {
                for (input, value) in row[first..first + inputs].iter_mut().enumerate() {
                    *value = block[input * n + feature];
                }
            }
        }
    }
}
