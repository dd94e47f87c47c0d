//! Writes a GGUF file, after `docs/gguf.md` of ggml.

/// A value of the metadata.
#[derive(Clone, Debug)]
pub enum Meta {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    F32s(Vec<f32>),
    I32s(Vec<i32>),
    Bools(Vec<bool>),
    /// a type and the bytes of a value
    Raw(u32, Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    /// the row's length last
    pub shape: Vec<u64>,
    /// the type's number in `ggml.h`
    pub number: u32,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Writer {
    pub version: u32,
    pub alignment: u64,
    pub metadata: Vec<(String, Meta)>,
    pub tensors: Vec<Tensor>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { version: 3, alignment: 32, metadata: Vec::new(), tensors: Vec::new() }
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn list<const N: usize>(kind: u32, elements: impl ExactSizeIterator<Item = [u8; N]>) -> Vec<u8> {
    let count = elements.len() as u64;
    [kind.to_le_bytes().to_vec(), count.to_le_bytes().to_vec(), elements.flatten().collect()].concat()
}

impl Meta {
    /// The type and the value.
    pub fn bytes(&self) -> (u32, Vec<u8>) {
        match self {
            Self::U32(value) => (4, value.to_le_bytes().to_vec()),
            Self::F32(value) => (6, value.to_le_bytes().to_vec()),
            Self::Bool(value) => (7, vec![u8::from(*value)]),
            Self::Text(text) => (8, string(text)),
            Self::Texts(texts) => {
                let count = (texts.len() as u64).to_le_bytes().to_vec();
                (9, [8u32.to_le_bytes().to_vec(), count, texts.iter().flat_map(|text| string(text)).collect()].concat())
            }
            Self::F32s(values) => (9, list(6, values.iter().map(|value| value.to_le_bytes()))),
            Self::I32s(values) => (9, list(5, values.iter().map(|value| value.to_le_bytes()))),
            Self::Bools(values) => (9, list(7, values.iter().map(|value| [u8::from(*value)]))),
            Self::Raw(kind, bytes) => (*kind, bytes.clone()),
        }
    }
}

impl Writer {
    pub fn set(&mut self, key: &str, value: Meta) {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.into(), value));
    }

    pub fn remove(&mut self, key: &str) {
        self.metadata.retain(|(known, _)| known != key);
    }

    /// Where the tensors' data begins, in the file of [`Writer::bytes`].
    pub fn header(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            let (kind, bytes) = value.bytes();
            file.extend([string(key), kind.to_le_bytes().to_vec(), bytes].concat());
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            file.extend(string(&tensor.name));
            file.extend((tensor.shape.len() as u32).to_le_bytes());
            file.extend(tensor.shape.iter().rev().flat_map(|n| n.to_le_bytes()));
            file.extend(tensor.number.to_le_bytes());
            file.extend(u64::to_le_bytes(offset));
            offset += (tensor.bytes.len() as u64).next_multiple_of(self.alignment);
        }
        file
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut file = self.header();
        let align = |file: &mut Vec<u8>| file.resize(file.len().next_multiple_of(self.alignment as usize), 0);
        align(&mut file);
        for tensor in &self.tensors {
            file.extend(&tensor.bytes);
            align(&mut file);
        }
        file
    }
}
