//! Hubs that are broken or mean harm. Each test says which program fails it. Every run has waits of a fraction of a
//! second in place of half a minute, and ends by itself.

#[path = "hub/hostile_names.rs"]
mod names;
#[path = "hub/server.rs"]
#[allow(dead_code, reason = "every test binary uses its own part")]
mod server;
#[path = "hub/setting.rs"]
#[allow(dead_code, reason = "every test binary uses its own part")]
mod setting;
mod support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{COMMIT, HubServer, Reply, Then, head, plain, sha256};
use setting::{Setting, WEIGHTS, got_files, is_listing, is_weights, with_headers};
use support::{Outcome, run};

/// Far more than any run here takes, and less than a person would wait.
const AT_LAST: Duration = Duration::from_secs(60);

/// Runs with short waits.
#[track_caller]
fn hurried(command: &mut Command) -> Outcome {
    timely(command.env("UNDERSTORY_TEST_HUB_IDLE_MS", "1200"))
}

#[track_caller]
fn timely(command: &mut Command) -> Outcome {
    let start = Instant::now();
    let outcome = run(command);
    assert!(start.elapsed() < AT_LAST, "{outcome:?}");
    assert!(outcome.stderr.len() < 2000, "{} bytes of message", outcome.stderr.len());
    outcome
}

#[track_caller]
fn fetch(setting: &Setting) -> Outcome {
    hurried(&mut setting.command("owner/model"))
}

fn redirect(to: &str) -> Reply {
    Reply { head: head(302, 0, &format!("Location: {to}\r\n")), body: vec![], then: Then::Close }
}

/// Half of the weights come, once, and then nothing on a connection that stays. How many bytes that is.
fn fall_silent_once(setting: &Setting) -> usize {
    let weights = setting.weights();
    let half = weights.len() / 2;
    let mut is_first = true;
    setting.trick(move |request| {
        let silent = is_weights(request) && std::mem::take(&mut is_first);
        silent.then(|| Reply {
            head: head(200, weights.len(), ""),
            body: weights[..half].to_vec(),
            then: Then::Silence,
        })
    });
    half
}

/// Sending the token along a redirect fails this: another port is another's server.
#[test]
fn the_token_stays_with_the_hub() {
    let (setting, other) = (Setting::new(), HubServer::start(Setting::new().hub.state().files.clone()));
    let back = setting.hub.endpoint();
    let there = other.endpoint();
    setting.trick(move |request| {
        request.path.starts_with("/owner/").then(|| redirect(&format!("{there}{}", request.path)))
    });
    // Large files come back from there: what another origin asks for is not the hub's own request either.
    other.state().trick = Some(Box::new(move |request| {
        request.path.ends_with(WEIGHTS).then(|| redirect(&format!("{back}/store/{WEIGHTS}")))
    }));
    got_files(&hurried(setting.command("owner/model").env("HF_TOKEN", "secret")));
    setting.assert_whole();
    let there: Vec<Option<String>> = other.state().requests.iter().map(|request| request.token.clone()).collect();
    assert!(there.len() >= 4 && there.iter().all(Option::is_none), "{there:?}");
    for request in setting.hub.state().requests.iter() {
        let is_own = !request.path.starts_with("/store/");
        assert_eq!(request.token.as_deref(), is_own.then_some("Bearer secret"), "{}", request.path);
    }
}

/// On the hub itself a redirect keeps the token: private files lie behind one.
#[test]
fn the_token_follows_a_redirect_on_the_same_origin() {
    let setting = Setting::new();
    setting.hub.state().refuse = Some(401);
    let there = setting.hub.endpoint();
    setting.trick(move |request| {
        let file = request.path.strip_prefix(&format!("/owner/model/resolve/{COMMIT}/"))?;
        (file == WEIGHTS).then(|| redirect(&format!("{there}/store/{file}")))
    });
    got_files(&hurried(setting.command("owner/model").env("HF_TOKEN", "secret")));
    setting.assert_whole();
}

/// Following without counting never ends, and following to a file reads it.
#[test]
fn redirects_are_bounded_and_lead_to_http() {
    let victim = Setting::new().around.path().join("victim");
    for (to, words) in [
        ("/loop".to_owned(), "redirects more than 10 times"),
        (format!("file://{}", victim.display()), "redirects to what"),
        ("https://user:password@127.0.0.1/".to_owned(), "redirects to what"),
        (format!("ftp://x/{}", "y".repeat(50_000)), "redirects to what"),
    ] {
        let setting = Setting::new();
        setting.trick(move |_| Some(redirect(&to)));
        fetch(&setting).fails(1, &["does not answer as a Hugging Face hub does", words]);
        setting.assert_unfinished();
    }
}

/// A client without an idle limit on heads and bodies waits here for ever.
#[test]
fn silence_ends() {
    let head_of_a_list = "HTTP/1.1 200 OK\r\nContent-Length: 9";
    let weights = Setting::new().weights();
    let begun = head(200, weights.len(), "");
    let half = &weights[..weights.len() / 2];
    for (what, head, body) in [
        ("no head", "", &[][..]),
        ("half a head", head_of_a_list, &[]),
        ("no body", &begun, &[]),
        ("half a body", &begun, half),
    ] {
        for is_silent in [is_listing, is_weights] {
            let setting = Setting::new();
            let (head, body) = (head.to_owned(), body.to_vec());
            setting.trick(move |request| {
                is_silent(request).then(|| Reply { head: head.clone(), body: body.clone(), then: Then::Silence })
            });
            let outcome = fetch(&setting);
            outcome.fails(1, &["owner/model"]);
            assert!(
                outcome.stderr.contains("nothing came for") || outcome.stderr.contains("bytes"),
                "{what}: {outcome:?}"
            );
            setting.assert_unfinished();
        }
    }
}

/// An idle limit alone fails this: a byte now and then, or a head that never ends, keeps it waiting.
#[test]
fn a_trickle_ends() {
    for is_slow in [is_listing, is_weights] {
        let setting = Setting::new();
        let length = setting.weights().len();
        setting.trick(move |request| {
            let then = Then::Drip(1, Duration::from_millis(50));
            is_slow(request).then(|| Reply { head: head(200, length, ""), body: b" ".to_vec(), then })
        });
        fetch(&setting).fails(1, &["too slow"]);
        setting.assert_unfinished();
        let setting = Setting::new();
        setting.trick(move |request| {
            let then = Then::Drip(9, Duration::from_millis(50));
            is_slow(request).then(|| Reply { head: "HTTP/1.1 200 OK\r\n".into(), body: b"X: long\r\n".to_vec(), then })
        });
        fetch(&setting).fails(1, &["owner/model"]);
        setting.assert_unfinished();
    }
}

/// Retrying a fixed number of times fails this, and so does beginning again: the hub breaks off every few kilobytes.
#[test]
fn a_hub_that_breaks_off_all_the_time_is_asked_until_the_end() {
    let setting = Setting::new();
    let weights = setting.weights();
    let (total, piece) = (weights.len(), weights.len() / 12 + 1);
    setting.trick(move |request| {
        if !is_weights(request) {
            return None;
        }
        let range = request.range.as_deref().unwrap_or("bytes=0-");
        let from: usize = range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        let (status, range) = if from == 0 {
            (200, String::new())
        } else {
            (206, format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1))
        };
        let body = weights[from..total.min(from + piece)].to_vec();
        Some(Reply { head: head(status, total - from, &range), body, then: Then::Close })
    });
    got_files(&fetch(&setting));
    setting.assert_whole();
    let state = setting.hub.state();
    let others: usize = state.files.iter().filter(|(file, _)| *file != WEIGHTS).map(|(_, bytes)| bytes.len()).sum();
    let listing = server::listing_of(&state.files).to_string().len();
    assert_eq!(state.sent, total + others + listing, "bytes came twice");
}

/// Waiting on without asking again fails this.
#[test]
fn a_connection_that_falls_silent_is_taken_up_again() {
    let setting = Setting::new();
    let half = fall_silent_once(&setting);
    got_files(&fetch(&setting));
    setting.assert_whole();
    assert_eq!(setting.hub.take_ranges(), [format!("bytes={half}-")]);
}

/// Asking for the header of a range that was not given fails this, and so does appending what came instead.
#[test]
fn servers_without_ranges_and_with_wrong_ones_are_asked_from_the_start() {
    let whole = Setting::new().weights();
    let total = whole.len();
    let ranged = |range: String| head(206, 100, &format!("Content-Range: {range}\r\n"));
    let (head_416, body_416) = plain(416, "no such range");
    for (head, body) in [
        (head(200, total, ""), whole.clone()),
        (head_416, body_416),
        (ranged(format!("bytes 0-99/{total}")), whole[..100].to_vec()),
        (ranged(format!("bytes 50-149/{}", total + 1)), whole[50..150].to_vec()),
        (ranged("nonsense".into()), vec![0; 100]),
        (server::head(206, 100, ""), vec![0; 100]),
    ] {
        let setting = Setting::new();
        let part = setting.root().join("blobs").join(sha256(&whole)).with_extension("incomplete");
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(part, &whole[..50]).unwrap();
        setting.trick(move |request| {
            let is_range = is_weights(request) && request.range.is_some();
            is_range.then(|| Reply { head: head.clone(), body: body.clone(), then: Then::Close })
        });
        got_files(&fetch(&setting));
        setting.assert_whole();
        setting.assert_contained();
    }
}

/// Keeping a part of which nobody knows where it comes from fails this: with it the file is never right.
#[test]
fn a_part_that_is_no_beginning_is_thrown_away() {
    let setting = Setting::new();
    let part = setting.root().join("blobs").join(sha256(&setting.weights())).with_extension("incomplete");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(part, vec![7; 100]).unwrap();
    got_files(&fetch(&setting));
    setting.assert_whole();
}

/// Reading to the end of the body fails this.
#[test]
fn what_never_ends_is_cut_off() {
    let chunk = Then::Drip(1 << 20, Duration::ZERO);
    let no_end = || "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned();
    let setting = Setting::new();
    setting.trick(move |request| {
        is_listing(request).then(|| Reply { head: no_end(), body: vec![b' '; 1 << 20], then: chunk })
    });
    timely(&mut setting.command("owner/model")).fails(1, &["list of files is longer than 16 MiB"]);
    setting.assert_unfinished();

    let setting = Setting::new();
    setting.trick(move |request| {
        is_weights(request).then(|| Reply { head: no_end(), body: vec![0; 1 << 20], then: chunk })
    });
    let more = format!("more than {} bytes", setting.weights().len());
    timely(&mut setting.command("owner/model")).fails(1, &["arrived damaged", &more]);
    setting.assert_unfinished();
    assert!(!setting::tree(&setting.root(), "").iter().any(|path| path.ends_with(".incomplete")));

    let setting = Setting::new();
    setting.trick(move |request| {
        is_weights(request).then(|| Reply {
            head: "HTTP/1.1 200 OK\r\n".into(),
            body: b"X: y\r\n".repeat(1 << 16),
            then: chunk,
        })
    });
    timely(&mut setting.command("owner/model")).fails(1, &["message head is too large"]);
    setting.assert_unfinished();
}

/// Checking large files alone fails the first; believing a header's length fails the second.
#[test]
fn contents_are_what_the_list_says() {
    for file in ["config.json", "tokenizer.json", WEIGHTS] {
        let setting = Setting::new();
        let mut bytes = setting.hub.state().files[file].clone();
        *bytes.last_mut().unwrap() ^= 1;
        setting.trick(move |request| request.path.ends_with(&format!("/{file}")).then(|| with_headers(&bytes, "")));
        fetch(&setting).fails(1, &[&format!("{file} of owner/model arrived damaged"), "hash"]);
        assert!(!setting.cached(file).exists());
        setting.assert_unfinished();

        let setting = Setting::new();
        let mut bytes = setting.hub.state().files[file].clone();
        bytes.pop();
        let expected = format!("{} bytes instead of {}", bytes.len(), bytes.len() + 1);
        setting.trick(move |request| request.path.ends_with(&format!("/{file}")).then(|| with_headers(&bytes, "")));
        fetch(&setting).fails(1, &["arrived damaged", &expected]);
        setting.assert_unfinished();
    }
}

/// A mirror may say nothing but names: the files belong to the commit then, as plain files.
#[test]
fn a_list_without_hashes_is_enough() {
    let setting = Setting::new();
    setting.list(|listing| {
        for entry in listing["siblings"].as_array_mut().unwrap() {
            *entry = json!({ "rfilename": entry["rfilename"] });
        }
    });
    got_files(&fetch(&setting));
    setting.assert_whole();
    let kept = setting::tree(&setting.root(), "");
    assert!(!kept.iter().any(|path| path.starts_with("blobs/")), "{kept:?}");
    assert!(fs::symlink_metadata(setting.cached(WEIGHTS)).unwrap().is_file());
    got_files(&hurried(setting.command("owner/model").arg("--offline")));
}

/// Without a hash a part of another day is not known to be of this file.
#[test]
fn a_file_without_a_hash_is_bounded_by_what_the_server_says_and_never_kept_in_part() {
    let setting = Setting::new();
    let names = |listing: &mut Value| {
        for entry in listing["siblings"].as_array_mut().unwrap() {
            *entry = json!({ "rfilename": entry["rfilename"] });
        }
    };
    let mut listing = server::listing_of(&setting.hub.state().files);
    names(&mut listing);
    let half = setting.weights().len() / 2;
    let (listing, cut) = (listing.to_string(), setting.weights()[..half].to_vec());
    let whole = setting.weights().len();
    setting.trick(move |request| {
        if is_listing(request) {
            let (head, body) = plain(200, &listing);
            return Some(Reply { head, body, then: Then::Close });
        }
        let body = if request.range.is_some() { vec![] } else { cut.clone() };
        is_weights(request).then(|| Reply { head: head(200, whole, ""), body, then: Then::Close })
    });
    fetch(&setting).fails(1, &["broke off"]);
    setting.assert_unfinished();
    assert!(!setting::tree(&setting.home(), "").iter().any(|path| path.ends_with(".incomplete")));
}

/// Two writers of one part fail this: the file is damaged, or comes twice.
#[test]
fn two_at_once_share_one_download() {
    let setting = Setting::new();
    let weights = setting.weights();
    setting.trick(move |request| {
        let then = Then::Slow(weights.len() / 20 + 1, Duration::from_millis(50));
        is_weights(request).then(|| Reply { head: head(200, weights.len(), ""), body: weights.clone(), then })
    });
    let mut others: Vec<_> = (0..3).map(|_| setting.command("owner/model").spawn().unwrap()).collect();
    got_files(&run(&mut setting.command("owner/model")));
    for other in others.drain(..) {
        let output = other.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && stderr.contains("adapter"), "{stderr}");
    }
    setting.assert_whole();
    setting.assert_contained();
    let weights = setting.hub.state().requests.iter().filter(|request| is_weights(request)).count();
    assert_eq!(weights, 1, "the weights came {weights} times");
}

/// Waiting for whoever has a lock fails this: a program may keep it and do nothing.
#[test]
fn a_lock_that_nobody_gives_back_is_said() {
    let setting = Setting::new();
    let locks = setting.home().join("hub/.locks/models--owner--model");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(format!("{}.lock", sha256(&setting.weights())))).unwrap();
    lock.lock().unwrap();
    fetch(&setting).fails(1, &["another process is downloading model.safetensors", "Wait for it"]);
    drop(lock);
    got_files(&fetch(&setting));
    setting.assert_whole();
}

/// Writing under the final name fails this: what a killed program leaves would look whole.
#[test]
fn a_killed_download_leaves_a_part_that_is_gone_on_with() {
    let setting = Setting::new();
    let half = fall_silent_once(&setting);
    let part = setting.root().join("blobs").join(sha256(&setting.weights())).with_extension("incomplete");
    let mut killed = setting.command("owner/model").spawn().unwrap();
    let start = Instant::now();
    while fs::metadata(&part).map_or(0, |part| part.len()) < half as u64 {
        assert!(start.elapsed() < AT_LAST);
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    setting.assert_unfinished();
    assert!(!setting.cached(WEIGHTS).exists());
    got_files(&fetch(&setting));
    setting.assert_whole();
    assert_eq!(setting.hub.take_ranges(), [format!("bytes={half}-")]);
}

/// Following links fails this: from two of them on, the number of ways is without end.
#[test]
#[cfg(unix)]
fn links_in_circles_among_revisions_delay_nothing() {
    let setting = Setting::new();
    got_files(&fetch(&setting));
    let refs = setting.root().join("refs");
    for i in 0..10 {
        std::os::unix::fs::symlink(&refs, refs.join(format!("loop{i}"))).unwrap();
    }
    let start = Instant::now();
    assert_eq!(setting.listed().len(), 1);
    got_files(&fetch(&setting));
    assert!(start.elapsed() < AT_LAST);
}

/// A token that is no header's value must neither panic nor be shown.
#[test]
fn a_token_that_cannot_be_sent_is_said_without_it() {
    let setting = Setting::new();
    let outcome = hurried(setting.command("owner/model").env("HF_TOKEN", "sec\u{7f}ret"));
    outcome.fails(1, &["access token has characters"]);
    assert!(!outcome.stderr.contains("sec"), "{}", outcome.stderr);
}
