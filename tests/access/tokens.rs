//! Service-account tokens, OIDC discovery, and what kubectl says of who one is.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{server::Server, support::eventually};

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

fn part(token: &str, index: usize) -> Value {
    let text = token.split('.').nth(index).expect("a part of the token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
}

#[test]
fn tokens_die_with_their_pod_and_can_be_checked_by_others() {
    let mut server = Server::start(|_| (), &[]);
    // The controller makes it; whoever is first, it is there.
    server.post(ACCOUNTS, &json!({"metadata": {"name": "default"}}));
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pods = "/api/v1/namespaces/default/pods";
    let pod = eventually("the pod is taken", Duration::from_secs(10), || {
        let answer = server.post(pods, &pod);
        if answer.code == 201 { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    });
    let mounted = &pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(mounted["path"], "token");
    let uid = &pod["metadata"]["uid"];
    let request = json!({"spec": {"boundObjectRef":
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}}});
    let answer = server.post(&format!("{ACCOUNTS}/default/token"), &request);
    let token = answer.body["status"]["token"].as_str().expect("token").to_owned();
    assert_eq!(&part(&token, 1)["kubernetes.io"]["pod"]["uid"], uid);

    let bearer = format!("Bearer {token}");
    let me = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let ask = |method: &str, path: &str, body: Option<&Value>| {
        server.send_anonymously(method, path, &[("authorization", &bearer)], body)
    };
    let who = ask("POST", REVIEWS, Some(&me));
    let user = &who.body["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:default");
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));

    let about = ask("GET", "/.well-known/openid-configuration", None).body;
    assert_eq!(about["issuer"], part(&token, 1)["iss"]);
    assert!(about["jwks_uri"].as_str().expect("URI").ends_with("/openid/v1/jwks"));
    let keys = ask("GET", "/openid/v1/jwks", None).body;
    assert_eq!(keys["keys"][0]["kid"], part(&token, 0)["kid"]);
    assert_eq!(server.send_anonymously("GET", "/openid/v1/jwks", &[], None).code, 403);

    assert_eq!(server.send("DELETE", &format!("{pods}/p"), &[], None).code, 200);
    let gone = ask("POST", REVIEWS, Some(&me));
    assert_eq!((gone.code, &gone.body["reason"]), (401, &json!("Unauthorized")));
    kubectl(&server);
    server.stop();
}

fn kubectl(server: &Server) {
    let programs = crate::support::kubectl::installed();
    let mut asked = 0;
    for kubectl in &programs {
        let run = |line: &str| server.kubectl(kubectl, line);
        let (said, right) = run("auth can-i get secrets --as=jane --as-group=team");
        assert!(!right && said.starts_with("no"), "{said}");
        let (said, right) = run("auth can-i get secrets --as=jane --as-group=system:masters");
        assert!(right && said.starts_with("yes"), "{said}");
        let (said, right) = run("get secrets --as=jane");
        let refusal = "User \"jane\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"";
        assert!(!right && said.contains(refusal), "{said}");
        // Before 1.28 it asked for a beta version that a server of 1.36 has no more.
        let (said, right) = run("auth whoami --as=jane --as-group=team -o json");
        if !right {
            assert!(said.contains("selfsubjectreviews API is not enabled"), "{said}");
            continue;
        }
        asked += 1;
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        assert_eq!(said["status"]["userInfo"]["groups"], json!(["team", "system:authenticated"]));
    }
    assert!(asked > 0 || programs.is_empty(), "no kubectl could ask who it is");
}
