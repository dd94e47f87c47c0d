//! The engine of the computer that serves this page, `understory serve`.

use leptos::prelude::document;
use understory_protocol::FailureKind;
use wasm_bindgen::prelude::*;
use web_sys::{CloseEvent, MessageEvent, Url, WebSocket};

use super::Ears;

pub struct Link {
    socket: WebSocket,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Link {
    /// # Errors
    /// Where the browser refuses the connection.
    pub fn start(ears: Ears) -> Result<Self, String> {
        let refused = |error: JsValue| format!("the browser refused the connection: {error:?}");
        let socket = WebSocket::new(&address().map_err(refused)?).map_err(refused)?;
        let on_message = {
            let ears = ears.clone();
            Closure::<dyn FnMut(_)>::new(move |event: MessageEvent| {
                ears.hear(&event.data().as_string().unwrap_or_default());
            })
        };
        // It comes for a connection that never was, too.
        let on_close = Closure::<dyn FnMut(_)>::new(move |event: CloseEvent| {
            ears.crash(FailureKind::Crashed.with(format!("The connection ended (code {}).", event.code())));
        });
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(Self { socket, _on_message: on_message, _on_close: on_close })
    }

    pub fn send(&self, text: &str) -> Result<(), String> {
        self.socket.send_with_str(text).map_err(|error| format!("{error:?}"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // It fails where it is closed already.
        let _ = self.socket.close();
    }
}

/// `engine` beside the page, as a WebSocket has it.
fn address() -> Result<String, JsValue> {
    let base = document().base_uri()?.unwrap_or_default();
    let url = Url::new_with_base("./engine", &base)?;
    url.set_protocol(if url.protocol() == "https:" { "wss:" } else { "ws:" });
    Ok(url.href())
}
