"""What people do with the Python client: typed and dynamic, reading, writing, watching, refused."""

import json
import sys

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

NAMESPACE = "python"


def refused(call, code, reason, message):
    """Calls what must fail, and checks the Status that the server answers."""
    try:
        call()
    except ApiException as error:
        body = error.body.decode() if isinstance(error.body, bytes) else error.body
        status = json.loads(body)
        found = (error.status, status["code"], status["reason"], status["message"])
        assert found == (code, code, reason, message), found
        return
    raise AssertionError(f"{message!r} was expected")


def plain(answer):
    """A Status as a dict: releases of the client differ in what a delete returns."""
    return answer if isinstance(answer, dict) else answer.to_dict()


def deployment(name):
    labels = {"app": name}
    container = client.V1Container(name="c", image="nginx:1")
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        spec=client.V1DeploymentSpec(
            replicas=0,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels),
                spec=client.V1PodSpec(containers=[container]),
            ),
        ),
    )


def documents(api):
    version = client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "36"), version
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups, groups
    resources = {r.name for r in client.CoreV1Api(api).get_api_resources().resources}
    assert {"pods", "pods/log", "configmaps"} <= resources, resources


def config_maps(core):
    for name in ("a", "b", "c"):
        body = client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name=name, labels={"n": name}), data={"k": name}
        )
        made = core.create_namespaced_config_map(NAMESPACE, body)
        assert made.metadata.uid and made.metadata.resource_version
    refused(
        lambda: core.create_namespaced_config_map(
            NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"))
        ),
        409,
        "AlreadyExists",
        'configmaps "a" already exists',
    )

    # Pages, selectors.
    page = core.list_namespaced_config_map(NAMESPACE, limit=2)
    rest = core.list_namespaced_config_map(NAMESPACE, limit=9, _continue=page.metadata._continue)
    names = [m.metadata.name for m in page.items + rest.items]
    assert names == sorted(names) and {"a", "b", "c"} <= set(names), names
    chosen = core.list_namespaced_config_map(NAMESPACE, label_selector="n in (a, c)")
    assert [m.metadata.name for m in chosen.items] == ["a", "c"]
    chosen = core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=b")
    assert [m.data["k"] for m in chosen.items] == ["b"]

    # A dict is a strategic merge patch, a list a JSON patch.
    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"k": "2", "l": "3"}})
    assert patched.data == {"k": "2", "l": "3"}, patched.data
    remove = [{"op": "remove", "path": "/data/l"}]
    patched = core.patch_namespaced_config_map("a", NAMESPACE, remove)
    assert patched.data == {"k": "2"}, patched.data

    # A stale write is a conflict.
    stale = core.read_namespaced_config_map("b", NAMESPACE)
    core.patch_namespaced_config_map("b", NAMESPACE, {"data": {"k": "new"}})
    stale.data = {"k": "old"}
    refused(
        lambda: core.replace_namespaced_config_map("b", NAMESPACE, stale),
        409,
        "Conflict",
        'Operation cannot be fulfilled on configmaps "b": the object has been modified; '
        "please apply your changes to the latest version and try again",
    )
    dry = core.delete_namespaced_config_map("b", NAMESPACE, dry_run="All")
    assert plain(dry)["status"] == "Success", dry
    gone = core.delete_namespaced_config_map("b", NAMESPACE)
    details = plain(gone)["details"]
    assert (details["name"], details["kind"]) == ("b", "configmaps"), gone
    refused(
        lambda: core.read_namespaced_config_map("b", NAMESPACE),
        404,
        "NotFound",
        'configmaps "b" not found',
    )
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="n")
    left = core.list_namespaced_config_map(NAMESPACE, label_selector="n")
    assert left.items == [], left


def watches(core):
    version = core.list_namespaced_secret(NAMESPACE).metadata.resource_version
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"k": "v"})
    made = core.create_namespaced_secret(NAMESPACE, secret)
    assert made.data == {"k": "dg=="} and made.string_data is None, made
    core.patch_namespaced_secret("s", NAMESPACE, {"metadata": {"labels": {"x": "y"}}})
    core.delete_namespaced_secret("s", NAMESPACE)
    seen = []
    stream = watch.Watch().stream(
        core.list_namespaced_secret, NAMESPACE, resource_version=version, timeout_seconds=10
    )
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    assert seen == [("ADDED", "s"), ("MODIFIED", "s"), ("DELETED", "s")], seen


def workloads(apps, core):
    made = apps.create_namespaced_deployment(NAMESPACE, deployment("web"))
    assert made.spec.strategy.rolling_update.max_surge == "25%", made.spec.strategy
    scale = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 2}})
    assert scale.spec.replicas == 2 and scale.kind == "Scale", scale
    status = {"status": {"observedGeneration": 9}}
    apps.patch_namespaced_deployment_status("web", NAMESPACE, status)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    patched = apps.patch_namespaced_deployment("web", NAMESPACE, image)
    assert [c.image for c in patched.spec.template.spec.containers] == ["nginx:2"]
    wrong = deployment("wrong")
    wrong.spec.template.metadata.labels = {"app": "other"}
    refused(
        lambda: apps.create_namespaced_deployment(NAMESPACE, wrong),
        422,
        "Invalid",
        'Deployment.apps "wrong" is invalid: spec.template.metadata.labels: Invalid value: '
        '{"app":"other"}: `selector` does not match template `labels`',
    )
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
    account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot"))
    core.create_namespaced_service_account(NAMESPACE, account)
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    )
    token = core.create_namespaced_service_account_token("robot", NAMESPACE, request)
    assert token.status.token.count(".") == 2


def reviews(api):
    attributes = client.V1ResourceAttributes(verb="get", resource="pods", namespace=NAMESPACE)
    spec = client.V1SubjectAccessReviewSpec(user="jane", resource_attributes=attributes)
    review = client.V1SubjectAccessReview(spec=spec)
    answer = client.AuthorizationV1Api(api).create_subject_access_review(review)
    assert answer.status.allowed is False, answer


def dynamically(api):
    found = dynamic.DynamicClient(api)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    made = maps.create(body={"metadata": {"name": "d"}, "data": {"k": "1"}}, namespace=NAMESPACE)
    assert made.data.k == "1"
    version = made.metadata.resourceVersion
    merge = "application/merge-patch+json"
    body = {"metadata": {"name": "d"}, "data": {"k": None, "l": "2"}}
    patched = maps.patch(body=body, namespace=NAMESPACE, content_type=merge)
    assert patched.data.to_dict() == {"l": "2"}, patched
    applied = maps.server_side_apply(
        body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "e"}, "data": {"k": "1"}},
        name="e",
        namespace=NAMESPACE,
        field_manager="python",
    )
    assert applied.metadata.managedFields[0].manager == "python", applied
    try:
        maps.server_side_apply(
            body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "e"}, "data": {"k": "2"}},
            name="e",
            namespace=NAMESPACE,
            field_manager="other",
        )
        raise AssertionError("a conflict was expected")
    except ConflictError as error:
        assert 'conflict with "python": .data.k' in error.summary(), error.summary()
    seen = []
    for event in maps.watch(namespace=NAMESPACE, resource_version=version, timeout=10):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            break
    assert seen == [("MODIFIED", "d"), ("ADDED", "e")], seen
    maps.delete(name="d", namespace=NAMESPACE)
    try:
        maps.get(name="d", namespace=NAMESPACE)
        raise AssertionError("d should be gone")
    except NotFoundError as error:
        assert error.status == 404
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.name == "deployments" and deployments.get(namespace=NAMESPACE).items == []
    assert found.resources.get(kind="CronJob").group == "batch"


def main():
    config.load_kube_config(sys.argv[1])
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    documents(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    config_maps(core)
    watches(core)
    workloads(apps, core)
    reviews(api)
    dynamically(api)
    core.delete_namespace(NAMESPACE)
    print("every step passed")


main()
