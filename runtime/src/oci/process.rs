//! The process of a container: arguments, environment, directory.

use serde_json::{Value, json};

use super::{caps, user::User};
use crate::{
    error::{Error, Result},
    spec::{ContainerSpec, PodSandboxSpec},
};

/// Search path of images that set none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The `process` object of config.json.
pub(super) fn build(pod: &PodSandboxSpec, spec: &ContainerSpec, user: &User) -> Result<Value> {
    let caps: Vec<String> = caps::effective(&spec.security, caps::held())?
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let mut process = json!({
        "terminal": spec.tty,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "args": arguments(spec)?,
        "env": environment(pod, spec, user),
        "cwd": directory(spec),
        "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
    });
    // Absent, not false: libcontainer installs the system call filter before it gives up
    // capabilities only when the field is absent.
    if !spec.security.allow_privilege_escalation && !spec.security.privileged {
        process["noNewPrivileges"] = true.into();
    }
    if let Some(score) = spec.oom_score_adj {
        process["oomScoreAdj"] = score.clamp(-1000, 1000).into();
    }
    Ok(process)
}

/// Kubernetes' table of command, args, entrypoint and cmd.
fn arguments(spec: &ContainerSpec) -> Result<Vec<String>> {
    let image = &spec.image.config;
    let (program, args) = if spec.command.is_empty() {
        let args = if spec.args.is_empty() { &image.cmd } else { &spec.args };
        (&image.entrypoint, args)
    } else {
        (&spec.command, &spec.args)
    };
    let all: Vec<String> = program.iter().chain(args).cloned().collect();
    if all.is_empty() {
        return Err(Error::Create("no command specified: set command or args".into()));
    }
    if all.iter().any(|a| a.contains('\0')) {
        return Err(Error::Create("the command contains a zero byte".into()));
    }
    Ok(all)
}

/// The image's variables with the container's laid over them, in a stable order.
fn environment(pod: &PodSandboxSpec, spec: &ContainerSpec, user: &User) -> Vec<String> {
    let mut list: Vec<(String, String)> = vec![("PATH".into(), DEFAULT_PATH.into())];
    if !pod.host_network {
        list.push(("HOSTNAME".into(), pod.hostname.clone()));
    }
    if spec.tty {
        list.push(("TERM".into(), "xterm".into()));
    }
    let image = spec.image.config.env.iter().map(|entry| {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        (name.to_string(), value.to_string())
    });
    for (name, value) in image.chain(spec.env.iter().cloned()) {
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            continue;
        }
        match list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => list.push((name, value)),
        }
    }
    if !list.iter().any(|(name, _)| name == "HOME") {
        list.push(("HOME".into(), user.home.clone()));
    }
    list.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn directory(spec: &ContainerSpec) -> String {
    let own = spec.working_dir.as_ref().map(|d| d.display().to_string());
    let dir = own.filter(|d| !d.is_empty()).unwrap_or(spec.image.config.working_dir.clone());
    if dir.starts_with('/') { dir } else { format!("/{dir}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageConfig, ImageInfo};

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn command_and_args_replace_what_kubernetes_says() {
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (&[], &[], &["ep", "cmd"]),
            (&[], &["a"], &["ep", "a"]),
            (&["c"], &[], &["c"]),
            (&["c"], &["a"], &["c", "a"]),
        ];
        for (command, args, expected) in cases {
            let image = ImageInfo {
                config: ImageConfig {
                    entrypoint: strings(&["ep"]),
                    cmd: strings(&["cmd"]),
                    ..Default::default()
                },
                ..Default::default()
            };
            let spec = ContainerSpec {
                command: strings(command),
                args: strings(args),
                image,
                ..Default::default()
            };
            assert_eq!(arguments(&spec).expect("arguments"), strings(expected));
        }
        assert!(arguments(&ContainerSpec::default()).is_err());
    }

    #[test]
    fn environment_is_overlaid_in_order() {
        let pod = PodSandboxSpec { hostname: "h".into(), ..Default::default() };
        let mut spec = ContainerSpec {
            env: vec![("A".into(), "own".into()), ("B".into(), "x=y".into())],
            ..Default::default()
        };
        spec.image.config.env = strings(&["A=image", "PATH=/bin"]);
        let user = User { home: "/root".into(), ..Default::default() };
        assert_eq!(
            environment(&pod, &spec, &user),
            ["PATH=/bin", "HOSTNAME=h", "A=own", "B=x=y", "HOME=/root"]
        );
    }

    #[test]
    fn directories_are_absolute() {
        let mut spec = ContainerSpec::default();
        assert_eq!(directory(&spec), "/");
        spec.image.config.working_dir = "srv".into();
        assert_eq!(directory(&spec), "/srv");
        spec.working_dir = Some("/own".into());
        assert_eq!(directory(&spec), "/own");
    }
}
