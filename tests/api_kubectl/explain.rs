//! What kubectl makes of the OpenAPI documents: explanations, validation, patches.

use super::{
    DEPLOYMENT,
    api_support::{Kubectl, TestApi, kubectls},
};

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explains_kinds_and_fields() {
    let api = TestApi::start().await;
    for program in kubectls() {
        let kubectl = Kubectl::new(&api, program);
        let shown = kubectl.ok("explain deployment").await;
        for part in ["KIND:", "Deployment", "apps", "v1", "FIELDS:", "spec\t<DeploymentSpec>"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        assert!(shown.contains("Specification of the desired behavior"), "{shown}");
        let shown = kubectl.ok("explain pod.spec.containers --recursive").await;
        for part in [
            "FIELD: containers",
            "containerPort\t<integer> -required-",
            "limits\t<map[string]Quantity>",
            "httpGet\t<HTTPGetAction>",
            "env\t<[]EnvVar>",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
        let shown = kubectl.ok("explain deploy.spec.strategy.rollingUpdate.maxSurge").await;
        assert!(shown.contains("<IntOrString>"), "{shown}");
        let nested = "explain cronjob.spec.jobTemplate.spec.template.spec.containers";
        let shown = kubectl.ok(nested).await;
        assert!(shown.contains("CronJob") && shown.contains("FIELD: containers"), "{shown}");
        let refused = kubectl.fails("explain pod.spec.nonsense").await;
        assert!(refused.contains("field \"nonsense\" does not exist"), "{refused}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_refuses_unknown_fields() {
    let api = TestApi::start().await;
    for (number, program) in kubectls().into_iter().enumerate() {
        let kubectl = Kubectl::new(&api, program);
        let wrong = DEPLOYMENT.replace("name: web", &format!("name: web{number}"));
        let wrong = wrong.replace("replicas:", "replica:");
        for line in [
            "create --validate=strict -f -",
            "apply -f -",
            "apply --validate=strict -f -",
            "apply --dry-run=server -f -",
        ] {
            let refused = kubectl.run_failing(line, &wrong).await;
            assert!(refused.contains("unknown field \"spec.replica\""), "{line}: {refused}");
        }
        let made = kubectl.pipe("create --validate=ignore -f -", &wrong).await;
        assert!(made.contains("created"), "{made}");
    }
    api.stop().await;
}

/// The merge keys come from the documents: version 2 for the old kubectl, version 3 for the new.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_apply_merges_lists_by_their_keys() {
    let api = TestApi::start().await;
    for (number, program) in kubectls().into_iter().enumerate() {
        let kubectl = Kubectl::new(&api, program);
        let name = format!("two{number}");
        let one = DEPLOYMENT.replace("name: web\nspec", &format!("name: {name}\nspec"));
        let two = format!("{one}      - name: side\n        image: side:1\n");
        kubectl.pipe("apply -f -", &two).await;
        let images = "{.spec.template.spec.containers[*].image}";
        let get = format!("get deploy {name} -o jsonpath={images}");
        assert_eq!(kubectl.ok(&get).await, "nginx:1 side:1");
        kubectl.pipe("apply -f -", &two.replace("side:1", "side:2")).await;
        assert_eq!(kubectl.ok(&get).await, "nginx:1 side:2");
        kubectl.pipe("apply -f -", &one).await;
        assert_eq!(kubectl.ok(&get).await, "nginx:1");
        let difference = kubectl.run_failing("diff -f -", &one.replace("nginx:1", "nginx:2")).await;
        assert_eq!(difference, "", "a difference is told on standard output, by the exit code");
    }
    api.stop().await;
}
