//! What the operating system knows about this process, and what libraries should know.

/// Milliseconds from the start of this process to now, to 10 ms; `None` where the system does not say.
///
/// Linux: field 22 of `/proc/self/stat` (clock ticks after boot, always 100 a second towards user space) against
/// `/proc/uptime`.
pub fn since_start_ms() -> Option<f64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    elapsed_ms(&stat, &uptime)
}

/// Keeps Mesa's device-select layer from complaining on stderr where there is no desktop session: it looks for a
/// Wayland compositor to order the adapters by, which matters to nobody who has none. The user's own wishes stand.
///
/// Must be the first thing in `main`, before any thread.
pub fn silence_device_select() {
    let set = |name| std::env::var_os(name).is_some();
    let wished = ["NODEVICE_SELECT", "MESA_VK_DEVICE_SELECT", "DRI_PRIME"].into_iter().any(set);
    if cfg!(target_os = "linux") && !set("XDG_RUNTIME_DIR") && !wished {
        // SAFETY: the process has one thread as yet, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") }
    }
}

fn elapsed_ms(stat: &str, uptime: &str) -> Option<f64> {
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let start_ticks: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let uptime_s: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let elapsed = (uptime_s * 1000.0 - start_ticks * 10.0).round();
    (elapsed >= 0.0).then_some(elapsed)
}

#[cfg(test)]
mod tests {
    use super::elapsed_ms;

    #[test]
    fn reads_the_start_past_a_hostile_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 0 0 0 0 20 0 1 0 12300 1000 10 18446744073709551615";
        assert_eq!(elapsed_ms(stat, "123.45 99.0\n"), Some(450.0));
        assert_eq!(elapsed_ms(stat, "122.00 99.0\n"), None);
        assert_eq!(elapsed_ms("", "1 1"), None);
    }
}
