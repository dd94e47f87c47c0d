//! What switches WebGPU on, by browser.

/// For the browser with this user agent.
pub fn advice(agent: &str) -> &'static str {
    let has = |name| agent.contains(name);
    if has("Firefox/") {
        "Firefox has WebGPU on Windows since version 141 and on Macs with Apple silicon since 145. Elsewhere, set \
         dom.webgpu.enabled to true in about:config and load this page again, or use Chrome or Edge."
    } else if has("Android") {
        "Chrome on Android has WebGPU since version 121, on Android 12 or newer with a GPU of Qualcomm or ARM. Update \
         the browser, or open this page on another device."
    } else if has("Chrome/") && has("Linux") {
        "On Linux, open chrome://flags, enable \"Unsafe WebGPU Support\" and \"Vulkan\", and start the browser again. \
         chrome://gpu says what it found."
    } else if has("Chrome/") {
        "See that graphics acceleration is on in the browser's settings (System) and that the browser is up to date; \
         chrome://gpu says why WebGPU is off."
    } else if has("Safari/") {
        "Safari has WebGPU since version 26 (macOS 26, iOS 26, iPadOS 26). On older systems, use a current Chrome or \
         Edge on a Mac."
    } else {
        "Use a current Chrome, Edge, Firefox or Safari."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chrome's agent names Safari too, and Android's names Linux: asking for those first fails this.
    #[test]
    fn browsers_are_told_apart() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36";
        let android = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36";
        let safari =
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15";
        assert!(advice(chrome).contains("chrome://flags"));
        assert!(advice(android).contains("Android 12"));
        assert!(advice(safari).starts_with("Safari"));
    }
}
