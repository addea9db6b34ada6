//! Reading how much a cgroup uses.

use std::fs;

use super::hierarchy::{Hierarchies, Version};
use crate::{
    error::{Error, Result},
    status::Usage,
};

/// Reads the use of one cgroup.
pub(super) fn read(found: &Hierarchies, path: &str) -> Result<Usage> {
    let text = |controller: &str, file: &str| -> Result<String> {
        let dir = found
            .directory(controller, path)
            .ok_or_else(|| Error::Unsupported(format!("no {controller} cgroup on this machine")))?;
        fs::read_to_string(dir.join(file)).map_err(Error::file("cannot read", dir.join(file)))
    };
    let number = |controller: &str, file: &str| -> Result<u64> {
        Ok(text(controller, file)?.trim().parse().unwrap_or(0))
    };
    let unified = found.version == Version::Unified;
    let cpu_ns = if unified {
        field(&text("cpu", "cpu.stat")?, "usage_usec").unwrap_or(0).saturating_mul(1000)
    } else {
        number("cpuacct", "cpuacct.usage")?
    };
    let (usage_file, inactive) = if unified {
        ("memory.current", "inactive_file")
    } else {
        ("memory.usage_in_bytes", "total_inactive_file")
    };
    let memory_bytes = number("memory", usage_file)?;
    let cache = field(&text("memory", "memory.stat")?, inactive).unwrap_or(0);
    Ok(Usage {
        cpu_ns,
        memory_bytes,
        working_set_bytes: memory_bytes.saturating_sub(cache),
        pids: number("pids", "pids.current").unwrap_or(0),
    })
}

/// The value of a `name value` line.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_matched_whole() {
        let text = "oom 3\noom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
        assert_eq!(field(text, "oom_kill"), Some(7));
        assert_eq!(field(text, "kill"), None);
    }
}
