//! Streams a text that a draft model helps to write, and prints how much of the draft's trees was accepted.
//!
//!     cargo run --release -p understory-runtime --example stream_tree -- [TARGET DRAFT]
//!
//! Two model folders with one vocabulary; without them the bundled pair is used. The text is the target's own, token for
//! token: a tree only decides how many of its tokens one pass of the target gives.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use understory_model::files::FolderFiles;
use understory_protocol::{Dtype, Event, GenerateRequest, LoadOptions, Method, Prompt, Result};
use understory_runtime::Engine;
use understory_runtime::gpu::Gpu;

fn main() -> Result<()> {
    let bundled = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name);
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let target = args.next().unwrap_or_else(|| bundled("tales"));
    let draft = args.next().unwrap_or_else(|| bundled("tales-draft"));
    pollster::block_on(stream(&target, &draft))
}

async fn stream(target: &Path, draft: &Path) -> Result<()> {
    let options = LoadOptions { dtype: Dtype::F16, kv_dtype: None, profile: None };
    let files = FolderFiles::open(target)?;
    let mut engine = Engine::open(Gpu::open(None).await?, &files, &options, &mut |_| {}).await?;
    engine.load_draft(&FolderFiles::open(draft)?, &options, &mut |_| {}).await?;
    // Checks that trees are lossless on this device and measures what passes cost. The first request would do it too.
    let costs = engine.calibrate(None).await?;
    println!("lossless: {:?}; a plain step takes {:.2} ms\n", costs.lossless, costs.plain_ms);

    let prompt = "The king said to the fox";
    let method = Method::Tree { depth: 4, branch: 2, tau: 0.05, budget: 15 };
    let request =
        GenerateRequest { prompt: Prompt::Text(prompt.into()), method, ..GenerateRequest::plain(Vec::new(), 100) };
    print!("{prompt}");
    let generation = engine
        .generate(&request, &mut |event| {
            // One event a round, with all of its tokens. `Break` would end the text here.
            if let Event::Emission { text, .. } = event {
                print!("{text}");
                let _ = std::io::stdout().flush();
            }
            ControlFlow::Continue(())
        })
        .await?;
    if let Some(of) = generation.speculation {
        println!("\n\n{} of {} drafted tokens accepted in {} rounds", of.accepted, of.drafted, of.rounds);
        println!("{:.2} tokens a target pass", of.tokens_per_target_pass);
    }
    Ok(())
}
