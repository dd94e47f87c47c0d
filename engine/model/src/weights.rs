//! Where tensors come from and which ones a model needs, in one layout for every family.
//!
//! A [`Slot`] is a place in the shared blocks; [`ModelWeights`] fills it from the files, whatever the family calls it and
//! however the files, safetensors or GGUF, store it (fused, interleaved, transposed): as rows of f32, or as the stored
//! bytes of rows.

pub(crate) mod convert;
mod gguf_names;
mod names;
mod piece;
mod slots;
mod tied;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use understory_protocol::{Error, Result};

use self::names::{Form, Names};
use self::piece::{Piece, WholeTensor};
use self::slots::Layout;
use super::config::ModelConfig;
use super::files::ModelFiles;
use super::gguf::{self, Gguf};
use super::safetensors::{self, read_header, weight_files};
pub use super::stored::StoredType;
use super::stored::TensorEntry;

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

/// Where the values of one slot lie.
struct Place {
    layout: Layout,
    /// stacked along the output features
    pieces: Vec<Piece>,
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
        let tensors = Stored::open(files, config)?;
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
        let place = self.place(slot).ok_or_else(|| self.no_slot(slot))?;
        let [n_rows, n_columns] = place.layout.shape();
        assert!(rows.start <= rows.end && rows.end <= n_rows, "rows {rows:?} of {slot:?}, which has {n_rows}");
        out.reserve_exact(rows.len() * n_columns);
        let wanted = place.layout.features(rows);
        let mut first = 0;
        for piece in &place.pieces {
            let last = first + piece.features;
            let part = wanted.start.clamp(first, last)..wanted.end.clamp(first, last);
            if !part.is_empty() {
                let features = part.start - first..part.end - first;
                piece
                    .read(self.files, &self.whole, features, &mut |bytes| convert::append(bytes, piece.stored, out))?;
            }
            first = last;
        }
        Ok(())
    }

    /// The stacked tensors that a slot is made of, in the order of its rows, and how each is stored. The elements of a
    /// vector count as rows. Empty: the model has no such slot.
    pub fn stored_parts(&self, slot: Slot) -> Vec<(Range<usize>, StoredType)> {
        let mut first = 0;
        let part = |piece: &Piece| {
            let rows = first..first + piece.features;
            first = rows.end;
            (rows, piece.stored)
        };
        self.place(slot).map(|place| place.pieces.iter().map(part).collect()).unwrap_or_default()
    }

    /// Replaces `out` by rows of a slot as they are stored, in the slot's order: `rows` of one of the ranges of
    /// [`ModelWeights::stored_parts`], without any space between them.
    ///
    /// # Errors
    /// As [`ModelWeights::read_rows`].
    ///
    /// # Panics
    /// If `rows` is not within one range.
    pub fn read_stored_rows(&self, slot: Slot, rows: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let place = self.place(slot).ok_or_else(|| self.no_slot(slot))?;
        let mut first = 0;
        for piece in &place.pieces {
            let last = first + piece.features;
            if first <= rows.start && rows.start <= rows.end && rows.end <= last {
                let features = rows.start - first..rows.end - first;
                return piece.read(self.files, &self.whole, features, &mut |bytes| out.extend_from_slice(bytes));
            }
            first = last;
        }
        panic!("rows {rows:?} of {slot:?} are not within one stored tensor");
    }

    fn no_slot(&self, slot: Slot) -> Error {
        Error::MissingTensor { name: format!("{slot:?}"), architecture: self.architecture.into() }
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
    /// the types that this kind of file may have
    types: &'static str,
    config: &'a ModelConfig,
}

impl<'a> Stored<'a> {
    fn open(files: &dyn ModelFiles, config: &'a ModelConfig) -> Result<Self> {
        if let Some(gguf) = Gguf::open(files)? {
            let names = Names::in_gguf(config.family);
            return Ok(Self { names, stored: gguf.tensors()?, types: gguf::KNOWN_TYPES, config });
        }
        let mut stored = HashMap::new();
        for file in weight_files(files)? {
            for (name, entry) in read_header(files, &file)? {
                stored.insert(name, (file.clone(), entry));
            }
        }
        Ok(Self { names: Names::of(config.family), stored, types: safetensors::KNOWN, config })
    }

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
        let pieces = tensors.iter().zip(parts).enumerate();
        let pieces = pieces.map(|(nth, (name, features))| self.piece(name, features, layout, form.of_tensor(nth)));
        Ok(Place { layout, pieces: pieces.collect::<Result<_>>()? })
    }

    fn piece(&self, name: &str, features: usize, layout: Layout, form: Form) -> Result<Piece> {
        let architecture = self.config.family.model_type();
        let missing = || Error::MissingTensor { name: name.into(), architecture: architecture.into() };
        let (file, entry) = self.stored.get(name).ok_or_else(missing)?;
        let stored = entry.stored(name, self.types)?;
        if stored.block_len() > 1 && matches!(layout, Layout::Vector(_)) {
            let known = safetensors::KNOWN;
            return Err(Error::UnknownDtype { name: name.into(), dtype: stored.name().into(), known });
        }
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
            stored,
            form,
            features,
            width: if let Layout::Matrix(_, columns) = layout { columns } else { 1 },
            head_dim: self.config.head_dim,
        })
    }
}
