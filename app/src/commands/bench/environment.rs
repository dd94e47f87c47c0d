//! What this machine tells of itself, on every system. What it does not tell is `None`. Power is told on Linux alone:
//! sysinfo knows no batteries.

use std::fs;
use std::path::Path;

use sysinfo::{Component, Components, CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use understory_lab::experiment::Site;
use understory_lab::report::{Adapter, Build, Device, EngineBuild, Runtime, RuntimeKind};
use understory_protocol::{AdapterReport, KernelSet, Power};

fn engine() -> EngineBuild {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    EngineBuild {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: known(env!("UNDERSTORY_COMMIT")),
        dirty: env!("UNDERSTORY_DIRTY").parse().ok(),
        build: Build::THIS,
        wgpu: known(env!("UNDERSTORY_WGPU")),
        // Only what trains and checks the engine has it; the program does not.
        burn: None,
        shaders_hash: understory_shaders::hash().into(),
    }
}

fn runtime(adapter: &AdapterReport, timer_resolution_ms: Option<f64>) -> Runtime {
    Runtime {
        kind: RuntimeKind::Native,
        backend: adapter.backend.clone(),
        browser: None,
        isolated: None,
        timer_resolution_ms,
        worker: None,
        visible: None,
    }
}

/// What changes while something runs, before it did.
pub struct Before {
    power: Option<Power>,
    thermal: Option<String>,
    load: Option<f64>,
}

impl Before {
    pub fn now() -> Self {
        Self { power: power(Path::new("/sys")), thermal: thermal(), load: load() }
    }
}

/// The program, what it runs in, and the machine, which is called `label` or after its adapter and processor.
pub fn site(
    before: Before,
    (adapter, kernels): (&AdapterReport, KernelSet),
    clock_step_ms: Option<f64>,
    label: Option<&str>,
) -> Site {
    let device = device(before, Adapter::new(adapter, kernels), label);
    Site { engine: engine(), runtime: runtime(adapter, clock_step_ms), device }
}

fn device(before: Before, adapter: Adapter, label: Option<&str>) -> Device {
    let Before { power, thermal, load } = before;
    let asked =
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(asked);
    let cpu = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|name| !name.is_empty());
    let name = adapter.name.clone().unwrap_or_else(|| "unknown adapter".into());
    let made = match &cpu {
        Some(cpu) if !name.contains(cpu.as_str()) => format!("{name}, {cpu}"),
        _ => name,
    };
    Device {
        label: label.map_or(made, Into::into),
        os: Some(os()),
        cpu,
        cpu_cores: std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()),
        ram_bytes: Some(system.total_memory()).filter(|&bytes| bytes > 0),
        adapter,
        power,
        thermal,
        load,
        pressure: None,
    }
}

/// Processes that wanted to run, on average over the last minute; Windows does not count them.
pub fn load() -> Option<f64> {
    (!cfg!(windows)).then(|| System::load_average().one)
}

/// The system and its version, and the kernel's.
fn os() -> String {
    let name = if cfg!(target_os = "linux") {
        let words = [System::name(), System::os_version()].into_iter().flatten().collect::<Vec<_>>();
        Some(words.join(" ")).filter(|words| !words.is_empty())
    } else {
        System::long_os_version()
    };
    let kernel = System::kernel_version().map(|version| format!("{} {version}", std::env::consts::OS));
    match (name, kernel) {
        (Some(name), Some(kernel)) => format!("{name}, {kernel}"),
        (name, kernel) => name.or(kernel).unwrap_or_else(|| std::env::consts::OS.into()),
    }
}

/// Battery, mains and mode below `/sys`; `None` where nothing tells.
fn power(sys: &Path) -> Option<Power> {
    let supplies = fs::read_dir(sys.join("class/power_supply")).into_iter().flatten().flatten();
    let (mut online, mut discharging, mut battery_percent) = (None, None, None);
    for supply in supplies.map(|entry| entry.path()) {
        let of = |file: &str| fs::read_to_string(supply.join(file)).ok().map(|text| text.trim().to_owned());
        // A mouse has a battery too.
        if of("scope").as_deref() == Some("Device") {
            continue;
        }
        match of("type").as_deref() {
            Some("Battery") => {
                discharging = of("status").map(|status| status == "Discharging").or(discharging);
                battery_percent = of("capacity").and_then(|text| text.parse().ok()).or(battery_percent);
            }
            Some("Mains") => online = of("online").map(|text| text == "1").or(online),
            _ => {}
        }
    }
    let file = |path: &str| fs::read_to_string(sys.join(path)).ok().map(|text| text.trim().to_owned());
    let governor = || file("devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let mode = file("firmware/acpi/platform_profile").or_else(governor);
    let on_battery = discharging.or(online.map(|online: bool| !online));
    let known = on_battery.is_some() || battery_percent.is_some() || mode.is_some();
    known.then_some(Power { on_battery, battery_percent, mode })
}

/// The hottest sensor.
fn thermal() -> Option<String> {
    let sensors = Components::new_with_refreshed_list();
    let all = sensors.iter().filter_map(Component::temperature);
    let hottest = all.filter(|degrees| (1.0..150.0).contains(degrees)).reduce(f32::max)?;
    Some(format!("{hottest:.0} °C"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taking a mouse's battery for the computer's fails this.
    #[test]
    fn power_is_told_by_the_computers_own_supplies() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(power(sys.path()), None);
        let put = |path: &str, text: &str| {
            let path = sys.path().join("class/power_supply").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("AC/type", "Mains\n");
        put("AC/online", "1\n");
        put("mouse/type", "Battery\n");
        put("mouse/scope", "Device\n");
        put("mouse/status", "Discharging\n");
        let expected = Power { on_battery: Some(false), battery_percent: None, mode: None };
        assert_eq!(power(sys.path()), Some(expected));
        put("BAT0/type", "Battery\n");
        put("BAT0/status", "Discharging\n");
        put("BAT0/capacity", "73\n");
        let expected = Power { on_battery: Some(true), battery_percent: Some(73), mode: None };
        assert_eq!(power(sys.path()), Some(expected));
    }
}
