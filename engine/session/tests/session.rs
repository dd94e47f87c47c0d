//! The engine behind messages.

#[path = "../../runtime/tests/common/mod.rs"]
mod common;

use common::{bundled, request};
use understory_model::files::{FolderFiles, ModelFiles};
use understory_protocol::{Dtype, Error, Event, HubAccess, LoadRequest, Method, ModelSource, Reply};
use understory_runtime::LoadContext;
use understory_session::Session;

fn files(name: &str) -> Box<dyn ModelFiles> {
    Box::new(FolderFiles::open(bundled(name)).expect("a bundled model"))
}

fn source(name: &str) -> ModelSource {
    ModelSource::Bundled { name: name.into() }
}

fn load(session: &mut Session) {
    let request = LoadRequest {
        target: source("tales"),
        draft: Some(source("tales-draft")),
        dtype: Dtype::F16,
        kv_dtype: None,
        profile: None,
        adapter: None,
        hub: HubAccess::default(),
    };
    let mut stages = Vec::new();
    let mut emit = |reply| stages.push(reply);
    let loaded = pollster::block_on(async {
        let context = LoadContext::open(request.adapter).await?;
        session.load(context, request, files("tales"), Some(files("tales-draft")), &mut emit).await
    })
    .expect("loads");
    assert!(loaded.draft.as_deref() == Some("tales-draft") && loaded.phases_ms.device.is_some(), "{loaded:?}");
    assert!(stages.iter().any(|reply| matches!(reply, Reply::Progress(_))));
}

#[test]
fn nothing_is_generated_before_a_model_is_loaded() {
    let mut session = Session::default();
    let ended = pollster::block_on(session.generate(&request(&[5], 4), &|| false, &mut |_| {}));
    assert!(matches!(ended, Err(Error::NothingLoaded)));
}

/// Seen to fail here: the tokens from before the loss given out again.
#[test]
fn a_text_goes_on_where_the_device_was_lost() {
    let mut session = Session::default();
    load(&mut session);
    for method in [Method::Ar, Method::Linear { k: 4 }] {
        let mut ask = request(&[5, 9, 27, 40], 40);
        ask.method = method;
        let whole = pollster::block_on(session.generate(&ask, &|| false, &mut |_| {})).expect("generates");
        let device = session.device();
        let (mut ids, mut text, mut recovered) = (Vec::new(), String::new(), 0);
        let again = pollster::block_on(session.generate(&ask, &|| false, &mut |reply| match reply {
            Reply::Event(Event::Emission { token_ids, text: piece, .. }) => {
                ids.extend(token_ids);
                text.push_str(&piece);
                if recovered == 0 && ids.len() > 10 {
                    device.destroy();
                }
            }
            Reply::Recovering { .. } => recovered += 1,
            _ => {}
        }))
        .expect("goes on");
        assert_eq!(recovered, 1, "{method:?}");
        assert_eq!((&again.token_ids, &again.text), (&whole.token_ids, &whole.text), "{method:?}");
        assert_eq!((&ids, &text), (&whole.token_ids, &whole.text), "{method:?}");
    }
}
