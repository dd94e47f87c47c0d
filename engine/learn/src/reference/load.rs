//! Filling the reference's blocks from a model's files.

use burn::tensor::{Device, Tensor, TensorData};
use understory_model::config::{ModelConfig, NormKind};
use understory_model::weights::{LayerSlot, ModelWeights, Slot};
use understory_protocol::{Error, Result};

use super::Reference;
use super::blocks::{Layer, Linear, NormWeights};

impl Reference {
    /// Loads every tensor of the model as f32, one at a time.
    ///
    /// A tensor stays whole: one that is larger than the device's binding limit fails at its first use.
    ///
    /// # Errors
    /// What reading the weights gives; [`Error::MissingTensor`] where the configuration asks for a tensor
    /// that they lack.
    pub fn load(weights: &ModelWeights, config: &ModelConfig, device: &Device) -> Result<Self> {
        let loader = Loader { weights, config, device };
        let embedding = loader.matrix(Slot::Embedding)?;
        let head = if weights.is_tied() { embedding.clone() } else { loader.matrix(Slot::LmHead)? };
        let lm_head = Linear { weight: head, bias: loader.bias(config.lm_head_bias, Slot::LmHeadBias)? };
        let position_embedding =
            config.learned_positions.then(|| loader.matrix(Slot::PositionEmbedding)).transpose()?;
        let layers = (0..config.n_layers()).map(|layer_idx| loader.layer(layer_idx)).collect::<Result<_>>()?;
        let final_norm = loader.norm(Slot::FinalNorm, Some(Slot::FinalNormBias))?;
        Ok(Self {
            config: config.clone(),
            device: device.clone(),
            embedding,
            position_embedding,
            layers,
            final_norm,
            lm_head,
        })
    }
}

struct Loader<'a> {
    weights: &'a ModelWeights<'a>,
    config: &'a ModelConfig,
    device: &'a Device,
}

impl Loader<'_> {
    /// Row-major values and shape.
    fn values(&self, slot: Slot) -> Result<(Vec<f32>, [usize; 2])> {
        let shape = self.weights.shape(slot).ok_or_else(|| Error::MissingTensor {
            name: format!("{slot:?}"),
            architecture: format!("{:?}", self.config.family),
        })?;
        let mut values = Vec::new();
        self.weights.read_rows(slot, 0..shape[0], &mut values)?;
        Ok((values, shape))
    }

    fn matrix(&self, slot: Slot) -> Result<Tensor<2>> {
        let (values, shape) = self.values(slot)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }

    fn vector(&self, slot: Slot, offset: f32) -> Result<Tensor<1>> {
        let (mut values, _) = self.values(slot)?;
        values.iter_mut().for_each(|value| *value += offset);
        let len = values.len();
        Ok(Tensor::from_data(TensorData::new(values, [len]), self.device))
    }

    fn bias(&self, present: bool, slot: Slot) -> Result<Option<Tensor<2>>> {
        present.then(|| Ok(self.vector(slot, 0.0)?.unsqueeze())).transpose()
    }

    /// A norm of the configured kind.
    fn norm(&self, weight: Slot, bias: Option<Slot>) -> Result<NormWeights> {
        let norm = self.config.norm;
        let offset = if norm.unit_offset { 1.0 } else { 0.0 };
        let bias = bias.filter(|_| norm.kind == NormKind::Layer);
        Ok(NormWeights {
            kind: norm.kind,
            eps: norm.eps,
            weight: self.vector(weight, offset)?,
            bias: bias.map(|slot| self.vector(slot, 0.0)).transpose()?,
        })
    }

    fn layer(&self, layer_idx: usize) -> Result<Layer> {
        let config = self.config;
        let slot = |slot| Slot::Layer(layer_idx, slot);
        let linear = |weight, has_bias, bias| -> Result<Linear> {
            Ok(Linear { weight: self.matrix(slot(weight))?, bias: self.bias(has_bias, slot(bias))? })
        };
        let optional_norm = |present: bool, weight| present.then(|| self.norm(slot(weight), None)).transpose();
        Ok(Layer {
            attn_norm: self.norm(slot(LayerSlot::AttnNorm), Some(slot(LayerSlot::AttnNormBias)))?,
            qkv: linear(LayerSlot::Qkv, config.qkv_bias, LayerSlot::QkvBias)?,
            q_norm: optional_norm(config.qk_norm, LayerSlot::QNorm)?,
            k_norm: optional_norm(config.qk_norm, LayerSlot::KNorm)?,
            attn_out: linear(LayerSlot::AttnOut, config.attn_out_bias, LayerSlot::AttnOutBias)?,
            post_attn_norm: optional_norm(config.post_norms, LayerSlot::PostAttnNorm)?,
            mlp_norm: self.norm(slot(LayerSlot::MlpNorm), Some(slot(LayerSlot::MlpNormBias)))?,
            mlp_up: linear(LayerSlot::MlpUp, config.mlp_bias, LayerSlot::MlpUpBias)?,
            mlp_down: linear(LayerSlot::MlpDown, config.mlp_bias, LayerSlot::MlpDownBias)?,
            post_mlp_norm: optional_norm(config.post_norms, LayerSlot::PostMlpNorm)?,
        })
    }
}
