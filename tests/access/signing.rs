//! CertificateSigningRequests: approved by hand or by the right to them, signed, and what nobody signs.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::{server::Server, support::eventually};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const STEP: Duration = Duration::from_secs(10);

fn request(name: &str, signer: &str, subject: (&str, &[&str]), usage: &str) -> (Value, KeyPair) {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for group in subject.1 {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, subject.0);
    let pem = params.serialize_request(&key).expect("request").pem().expect("PEM");
    let object = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": name}, "spec": {"request": STANDARD.encode(pem), "signerName": signer,
            "expirationSeconds": 86400, "usages": ["digital signature", usage]}});
    (object, key)
}

fn decide(
    server: &Server,
    name: &str,
    condition: &str,
    headers: &[(&str, &str)],
) -> crate::server::Answer {
    let mut object = server.get(&format!("{REQUESTS}/{name}")).body;
    object["status"]["conditions"] =
        json!([{"type": condition, "status": "True", "reason": "Test", "message": "m"}]);
    server.send("PUT", &format!("{REQUESTS}/{name}/approval"), headers, Some(&object))
}

fn issued(server: &Server, name: &str) -> String {
    let pem = eventually("the certificate is there", STEP, || {
        let object = server.get(&format!("{REQUESTS}/{name}")).body;
        object["status"]["certificate"].as_str().map(str::to_owned).ok_or(object.to_string())
    });
    String::from_utf8(STANDARD.decode(pem).expect("base64")).expect("PEM")
}

#[test]
fn certificates_are_approved_and_signed() {
    let mut server = Server::start(|_| (), &[]);
    let client = "kubernetes.io/kube-apiserver-client";
    let (object, key) = request("jane", client, ("jane", &["team"]), "client auth");
    let made = server.post(REQUESTS, &object);
    assert_eq!((made.code, &made.body["spec"]["username"]), (201, &json!("kubernetes-admin")));
    // Nobody but those with the right decides, and not at another door.
    let role = json!({"metadata": {"name": "w"}, "rules": [{"apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]}]});
    assert_eq!(server.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role).code, 201);
    let binding = json!({"metadata": {"name": "w"}, "subjects": [{"kind": "User", "name": "bob"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "w"}});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(server.post(bindings, &binding).code, 201);
    let refused = decide(&server, "jane", "Approved", &[("impersonate-user", "bob")]);
    let text = format!("user not permitted to approve requests with signerName {client:?}");
    assert_eq!(refused.code, 403, "{refused:?}");
    assert!(refused.body["message"].as_str().expect("text").ends_with(&text), "{refused:?}");
    let mut sneaky = server.get(&format!("{REQUESTS}/jane")).body;
    sneaky["status"]["conditions"] = json!([{"type": "Approved", "status": "True"}]);
    server.send("PUT", &format!("{REQUESTS}/jane"), &[], Some(&sneaky));
    server.send("PUT", &format!("{REQUESTS}/jane/status"), &[], Some(&sneaky));
    let object = server.get(&format!("{REQUESTS}/jane")).body;
    assert!(object["status"]["conditions"].is_null(), "{object}");

    let approved = decide(&server, "jane", "Approved", &[]);
    assert_eq!(approved.code, 200, "{approved:?}");
    let certificate = issued(&server, "jane");
    let me = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let who =
        server.send_as(&format!("{certificate}{}", key.serialize_pem()), "POST", reviews, &me);
    let user = &who.body["status"]["userInfo"];
    assert_eq!((&user["username"], &user["groups"][0]), (&json!("jane"), &json!("team")));
    let both = decide(&server, "jane", "Denied", &[]);
    assert_eq!((both.code, &both.body["reason"]), (422, &json!("Invalid")), "{both:?}");

    nodes(&server);
    let (masters, _) = request("m", client, ("m", &["system:masters"]), "client auth");
    let refused = server.post(REQUESTS, &masters);
    assert_eq!(refused.code, 403, "{refused:?}");
    let (bad, _) = request("bad", client, ("bad", &[]), "server auth");
    assert_eq!(server.post(REQUESTS, &bad).code, 201);
    assert_eq!(decide(&server, "bad", "Approved", &[]).code, 200);
    eventually("the request failed", STEP, || {
        let object = server.get(&format!("{REQUESTS}/bad")).body;
        let last = &object["status"]["conditions"][1];
        if last["reason"] == "SignerValidationFailure" { Ok(()) } else { Err(object.to_string()) }
    });
    server.stop();
}

/// A node's own certificate is approved by itself, one for another node is not.
fn nodes(server: &Server) {
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    let binding = json!({"metadata": {"name": "renew"},
        "subjects": [{"kind": "Group", "name": "system:nodes"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"}});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(server.post(bindings, &binding).code, 201);
    let as_node = [("impersonate-user", "system:node:a"), ("impersonate-group", "system:nodes")];
    for (name, subject) in [("own", "system:node:a"), ("other", "system:node:b")] {
        let (object, _) = request(name, signer, (subject, &["system:nodes"]), "client auth");
        let made = server.send("POST", REQUESTS, &as_node, Some(&object));
        let want = if name == "own" { 201 } else { 403 };
        assert_eq!(made.code, want, "{made:?}");
    }
    issued(server, "own");
    let own = server.get(&format!("{REQUESTS}/own")).body;
    assert_eq!(own["status"]["conditions"][0]["reason"], "AutoApproved");
}
