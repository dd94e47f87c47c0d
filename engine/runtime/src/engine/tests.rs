//! What needs the engine's inner parts.

use std::path::Path;

use understory_model::files::FolderFiles;
use understory_protocol::{Dtype, KernelSet};

use super::*;

/// Seen to fail here: as many rows as the request's own positions leave room for.
#[test]
fn a_cache_that_has_grown_leaves_room_for_fewer_rows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/llama");
    pollster::block_on(async {
        let gpu = Gpu::open(None).await.expect("a device");
        let files = FolderFiles::open(&folder).expect("a model folder");
        let options = LoadOptions { dtype: Dtype::F16, kv_dtype: None, profile: Some(KernelSet::Cpu) };
        let mut engine = Engine::open(gpu, &files, &options, &mut |_| {}).await.expect("opens");
        assert_eq!(engine.forward.tree_rows(200), 64);
        engine.forward.reserve(&engine.gpu, 100_000).await.expect("there is memory");
        let rows = engine.forward.few_rows(0);
        assert!(rows < 64, "{rows}");
        assert_eq!(engine.forward.tree_rows(200), rows);
    });
}
