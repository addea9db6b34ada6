//! The command line: flags, config files and kubeconfigs that are wrong.

use std::path::Path;

use crate::case::{Door, Report};

pub fn run(door: &Door<'_>, report: &mut Report) {
    flags(door, report);
    machines(door, report);
    config_files(door, report);
    kubeconfigs(door, report);
}

fn check(door: &Door<'_>, report: &mut Report, name: &str, args: &[&str], want: &str) {
    let (code, said) = door.kabuki(args);
    let code = code.map_or("killed".to_owned(), |c| c.to_string());
    // One line says it all; the log of a start may stand before it, usage after it.
    report.check(name, &format!("{code} {said}"), want);
}

fn flags(door: &Door<'_>, report: &mut Report) {
    for (name, args, want) in [
        ("an unknown flag", &["up", "--fast"][..], "2 error: unexpected argument '--fast' found*"),
        ("an unknown command", &["explode"], "2 error: unrecognized subcommand 'explode'*"),
        ("no command", &[], "2 *Usage: kabuki <COMMAND>*"),
        (
            "an address that is none",
            &["up", "--bind-address=here"],
            "2 error: invalid value 'here' for '--bind-address <IP>': invalid IP address syntax*",
        ),
        (
            "port 70000",
            &["up", "--api-port=70000"],
            "2 error: invalid value '70000' for '--api-port <API_PORT>': 70000 is not in 0..=65535*",
        ),
        (
            "init and join",
            &["server", "--init", "--join=https://a"],
            "2 error: the argument '--init' cannot be used with '--join <URL>'*",
        ),
        (
            "neither init nor join",
            &["server"],
            "2 error: the following required arguments were not provided:*",
        ),
        (
            "join without token",
            &["server", "--join=https://127.0.0.1:1", "--data-dir=/nonexistent/x"],
            "1 kabuki: --join needs --token: make one with `kabuki token create --role server`\n",
        ),
        (
            "a lifetime that is none",
            &["token", "create", "--ttl=soon"],
            "2 error: invalid value 'soon' for '--ttl <TTL>': \"soon\" is no duration: write a number and s, m, h or d, as in 24h*",
        ),
        (
            "a lifetime beyond the limit",
            &["token", "create", "--ttl=99d"],
            "1 kabuki: --ttl is longer than 30d\n",
        ),
        (
            "no uses",
            &["token", "create", "--uses=0"],
            "2 error: invalid value '0' for '--uses <USES>': 0 is not in 1..=4294967295*",
        ),
        (
            "an unknown role",
            &["token", "create", "--role=king"],
            "2 error: invalid value 'king' for '--role <ROLE>'*",
        ),
        (
            "a log filter that is none",
            &["up", "--log=a=b=c", "--data-dir=/nonexistent/x"],
            "1 kabuki: --log \"a=b=c\" is no filter: *",
        ),
        (
            "an archive that is not there",
            &["image", "load"],
            "2 error: the following required arguments were not provided:*",
        ),
    ] {
        check(door, report, name, args, want);
    }
}

/// Starts that cannot work: the process must end and say why.
fn machines(door: &Door<'_>, report: &mut Report) {
    let dir = door.cluster.dir.path().join("second");
    let data = format!("--data-dir={}", dir.display());
    let bind = format!("--bind-address={}", door.member().host.address);
    let file = door.cluster.dir.path().join("file");
    std::fs::write(&file, "x").expect("file");
    let below = format!("--data-dir={}/below", file.display());
    for (name, args, want) in [
        (
            "a port that is taken",
            &["server", "--init", &data, &bind, "--name=a"][..],
            "1 *kabuki: cannot listen on *: is another kabuki running?: Address already in use (os error 98)\n",
        ),
        (
            "a name with a space",
            &["server", "--init", &data, &bind, "--name=a b"],
            "1 *kabuki: \"a b\" is no valid name: use lower-case letters, digits, '-' and '.', or pass --name\n",
        ),
        (
            "a data directory below a file",
            &["server", "--init", &below, &bind, "--name=a"],
            "1 *kabuki: *Not a directory (os error 20)*",
        ),
        (
            "a data directory in /proc",
            &["server", "--init", "--data-dir=/proc/kabuki", &bind, "--name=a"],
            "1 *kabuki: *No such file or directory (os error 2)*",
        ),
        (
            "an address of another machine",
            &["server", "--init", &data, "--bind-address=192.0.2.1", "--name=a"],
            "1 *kabuki: cannot listen on 192.0.2.1:*: Cannot assign requested address (os error 99)\n",
        ),
    ] {
        check(door, report, name, args, want);
    }
    let token = format!("--token=K1{}::abc123.0123456789abcdef", "ab".repeat(32));
    let data = format!("--data-dir={}", door.cluster.dir.path().join("third").display());
    let url = format!("--join={}", door.member().url());
    for (name, join, want) in [
        (
            "plain HTTP to join",
            "--join=http://127.0.0.1:6443",
            "1 *kabuki: *\"http://127.0.0.1:6443\" is not a join address: write https://HOST:6443\n",
        ),
        (
            "a token of another cluster",
            &url,
            "1 *kabuki: *join refused: *the token is for another cluster*; use a token created on this cluster\n",
        ),
    ] {
        check(door, report, name, &["node", join, &token, &data, "--name=n"], want);
    }
}

fn config_files(door: &Door<'_>, report: &mut Report) {
    let path = door.cluster.dir.path().join("config.yaml");
    let flag = format!("--config={}", path.display());
    let shown = format!("1 kabuki: config file {}: ", path.display());
    let advice = "; write one `flag: value` per line, as in `data-dir: /var/lib/kabuki`\n";
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..30 {
        let list = vec![format!("*a{}", i - 1); 10].join(",");
        bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    let deep = "[".repeat(100_000);
    for (name, text, want) in [
        ("an unknown key", "fast: true\n", "2 error: unexpected argument '--fast' found*".to_owned()),
        ("a list for a config", "- a\n", format!("{shown}the top level is not a mapping{advice}")),
        ("a map for a value", "api-port: {a: 1}\n", format!("{shown}api-port: not a plain value{advice}")),
        ("text for a port", "api-port: many\n", "2 error: invalid value 'many' for '--api-port <API_PORT>': invalid digit found in string*".to_owned()),
        ("YAML that is none", "a: [\n", format!("{shown}*{advice}")),
        ("aliases that explode in a config", &bomb, format!("{shown}*{advice}")),
        ("a deep config", &deep, format!("{shown}*{advice}")),
    ] {
        std::fs::write(&path, text).expect("config");
        check(door, report, name, &["up", &flag, "--data-dir=/nonexistent/x"], &want);
    }
    std::fs::write(&path, vec![b'#'; 2 << 20]).expect("config");
    let want = format!("1 kabuki: config file {} is larger than 1 MiB\n", path.display());
    check(door, report, "a config of 2 MiB", &["up", &flag], &want);
    std::fs::write(&path, b"\xff\xfe").expect("config");
    let want = format!(
        "1 kabuki: cannot read config file {}: stream did not contain valid UTF-8\n",
        path.display()
    );
    check(door, report, "a config that is no text", &["up", &flag], &want);
    let want =
        "1 kabuki: cannot read config file /nonexistent: No such file or directory (os error 2)\n";
    check(door, report, "a config that is not there", &["up", "--config=/nonexistent"], want);
    check(
        door,
        report,
        "config without a file",
        &["up", "--config"],
        "1 kabuki: --config needs a file name\n",
    );
}

fn kubeconfigs(door: &Door<'_>, report: &mut Report) {
    let path = door.cluster.dir.path().join("kubeconfig");
    let flag = format!("--kubeconfig={}", path.display());
    let good = std::fs::read_to_string(door.member().data_dir.join("admin.kubeconfig"))
        .expect("kubeconfig");
    let ours = door.member().data_dir.display().to_string();
    assert!(Path::new(&ours).is_dir());
    for (name, text) in [
        ("an empty kubeconfig", String::new()),
        ("a kubeconfig that is no YAML", "a: [".to_owned()),
        ("a kubeconfig cut in the middle", good[..good.len() / 2].to_owned()),
        (
            "a kubeconfig with broken certificates",
            good.replace("certificate-data: LS0", "certificate-data: %%%"),
        ),
        (
            "a kubeconfig with another context",
            good.replace("current-context:", "current-context: x #"),
        ),
    ] {
        std::fs::write(&path, text).expect("kubeconfig");
        check(door, report, name, &["token", "list", &flag], "1 kabuki: *kubeconfig*");
    }
    let want =
        "1 kabuki: cannot read /nonexistent: pass --kubeconfig, or --data-dir of a member: *";
    check(door, report, "no kubeconfig", &["token", "list", "--kubeconfig=/nonexistent"], want);
    let data = format!("--data-dir={ours}");
    check(
        door,
        report,
        "a token nobody made",
        &["token", "delete", "zzzzzz", &data],
        "1 kabuki: cannot delete token \"zzzzzz\"; `kabuki token list` shows the ids: *not found*",
    );
    check(
        door,
        report,
        "an id with a slash",
        &["token", "delete", "../../x", &data],
        "1 kabuki: cannot delete token \"../../x\"*",
    );
    check(
        door,
        report,
        "an actor nobody knows",
        &["actors", "show", "/nobody", &data],
        "1 kabuki: cannot read /debug/actors/nobody?format=text: *",
    );
}
