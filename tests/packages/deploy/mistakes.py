"""Mistakes that are planted into the manifests for Kubernetes, and a part of what the check says of each."""

import base64
from collections.abc import Callable
from typing import Any

from deploy.kubernetes.manifests import Manifests, Object


def spec(manifests: Manifests, name: str = "node", kind: str = "Deployment") -> Any:
    found = manifests.find(kind, name)
    assert found is not None
    return found["spec"]


def pod(manifests: Manifests, name: str = "node") -> Any:
    return spec(manifests, name)["template"]["spec"]


def container(manifests: Manifests, name: str = "node") -> Any:
    return pod(manifests, name)["containers"][0]


def data(manifests: Manifests, prefix: str) -> Any:
    return next(each for each in manifests.of_kind("ConfigMap") if each["metadata"]["name"].startswith(prefix))["data"]


def rename(old: str, new: str) -> Callable[[Manifests], object]:
    """Return a change of the text of nginx.conf."""

    def change(manifests: Manifests) -> None:
        config = data(manifests, "proxy-config")
        assert old in config["nginx.conf"]
        config["nginx.conf"] = config["nginx.conf"].replace(old, new)

    return change


def remove(kind: str, name: str) -> Callable[[Manifests], object]:
    return lambda m: m.objects.remove(m.find(kind, name) or {})


def rewrite(file: str, old: str, new: str) -> Callable[[Manifests], object]:
    """Return a change of the text of a file in a Secret."""

    def change(manifests: Manifests) -> None:
        (files,) = (each["data"] for each in manifests.of_kind("Secret") if file in each["data"])
        text = base64.b64decode(files[file]).decode()
        assert old in text
        files[file] = base64.b64encode(text.replace(old, new).encode()).decode()

    return change


PROXIES = {"matchLabels": {"app.kubernetes.io/component": "proxy"}}


def budget(manifests: Manifests, **fields: object) -> Object:
    """Return another budget of the nodes, with these fields."""
    selector = spec(manifests, "node", "PodDisruptionBudget")["selector"]
    return {"kind": "PodDisruptionBudget", "metadata": {"name": "own"}, "spec": {"selector": selector, **fields}}


def redis(manifests: Manifests) -> Any:
    return spec(manifests, "redis", "StatefulSet")


MISTAKES: dict[str, tuple[Callable[[Manifests], object], str]] = {
    "no probe": (lambda m: container(m).pop("livenessProbe"), "livenessProbe is missing"),
    "a probe on /ready": (
        lambda m: container(m)["readinessProbe"]["httpGet"].update(path="/ready"),
        "readinessProbe must ask for /live",
    ),
    "a probe at another port": (
        lambda m: container(m)["livenessProbe"]["httpGet"].update(port="web"),
        "livenessProbe asks at port web",
    ),
    "a probe that nginx closes": (
        lambda m: container(m, "proxy")["livenessProbe"]["httpGet"].pop("httpHeaders"),
        "livenessProbe must send a Host",
    ),
    "root by number": (lambda m: pod(m)["securityContext"].update(runAsUser=0), "runAsUser and runAsGroup must be"),
    "root by omission": (lambda m: pod(m)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot must be true"),
    "a file system to write to": (
        lambda m: container(m)["securityContext"].pop("readOnlyRootFilesystem"),
        "readOnlyRootFilesystem must be true",
    ),
    "a capability": (
        lambda m: container(m)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
        "capabilities must drop ALL",
    ),
    "more rights later": (
        lambda m: container(m)["securityContext"].pop("allowPrivilegeEscalation"),
        "allowPrivilegeEscalation must be false",
    ),
    "no seccomp": (lambda m: pod(m)["securityContext"].pop("seccompProfile"), "seccompProfile must be"),
    "a token": (lambda m: pod(m).pop("automountServiceAccountToken"), "automountServiceAccountToken must be false"),
    "variables of Services": (lambda m: pod(m).pop("enableServiceLinks"), "enableServiceLinks must be false"),
    "a folder of the machine": (
        lambda m: pod(m)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "must not be of the kind hostPath",
    ),
    "the machine's network": (lambda m: pod(m).update(hostNetwork=True), "hostNetwork must not be set"),
    "no limit": (lambda m: container(m)["resources"]["limits"].pop("memory"), "limits must have memory"),
    "an image without a version": (lambda m: container(m).update(image="session-cluster-node"), "must have a tag"),
    "a selector of a Deployment": (
        lambda m: spec(m)["selector"]["matchLabels"].update({"app.kubernetes.io/component": "web"}),
        "its selector does not choose its own pods",
    ),
    "a selector of a Service": (
        lambda m: spec(m, "proxy", "Service")["selector"].update({"app.kubernetes.io/component": "nginx"}),
        "Service proxy: its selector chooses no pod",
    ),
    "a selector of a policy": (
        lambda m: spec(m, "node", "NetworkPolicy")["ingress"][0]["from"][0]["podSelector"]["matchLabels"].update(x="y"),
        "NetworkPolicy node: a rule of ingress chooses no pod",
    ),
    "a port of a policy": (
        lambda m: spec(m, "node", "NetworkPolicy")["ingress"][0]["ports"][0].update(port=80),
        "NetworkPolicy node: Deployment node has no port 80",
    ),
    "a port of a Service": (
        lambda m: spec(m, "proxy", "Service")["ports"][0].update(targetPort="https"),
        "has no port https",
    ),
    "a route to another port": (
        lambda m: spec(m, "shop", "HTTPRoute")["rules"][0]["backendRefs"][0].update(port=8080),
        "no Service proxy with port 8080",
    ),
    "replicas beside an autoscaler": (lambda m: spec(m).update(replicas=3), "replicas must not be set"),
    "one replica": (lambda m: spec(m, "node", "HorizontalPodAutoscaler").update(minReplicas=1), "minReplicas of 2"),
    "no budget": (remove("PodDisruptionBudget", "node"), "Deployment node: it needs a PodDisruptionBudget"),
    "a budget for what is not there": (
        lambda m: spec(m, "node", "PodDisruptionBudget")["selector"]["matchLabels"].update(x="y"),
        "PodDisruptionBudget node: its selector chooses no pod",
    ),
    "a budget of 0": (
        lambda m: spec(m, "node", "PodDisruptionBudget").update(maxUnavailable=0),
        "it lets no pod of Deployment node be evicted",
    ),
    "a budget for all that there are": (
        lambda m: m.objects.append(budget(m, minAvailable=3)),
        "it lets no pod of Deployment node be evicted",
    ),
    "a budget of 100 %": (
        lambda m: spec(m, "node", "PodDisruptionBudget").update(maxUnavailable="100%"),
        "it lets all pods of Deployment node be evicted at one time",
    ),
    "an update that ends all pods": (
        lambda m: spec(m).update(strategy={"type": "Recreate"}),
        "Deployment node: its strategy must be RollingUpdate",
    ),
    "more replicas at least than at most": (
        lambda m: spec(m, "node", "HorizontalPodAutoscaler").update(maxReplicas=2),
        "minReplicas 3 must not be above maxReplicas 2",
    ),
    "an autoscaler of what is not there": (
        lambda m: spec(m, "node", "HorizontalPodAutoscaler")["scaleTargetRef"].update(name="nodes"),
        "HorizontalPodAutoscaler node: Deployment nodes does not exist",
    ),
    "no Service of the nodes": (remove("Service", "node"), "Deployment node: no Service chooses its pods"),
    "no Service of the proxies": (remove("Service", "proxy"), "Deployment proxy: no Service chooses its pods"),
    "no Service of the store": (remove("Service", "redis"), "no Service redis with port 6379"),
    "a StatefulSet without its Service": (
        lambda m: redis(m).update(serviceName="store"),
        "StatefulSet redis: serviceName store must be a headless Service",
    ),
    "a host of the store that nothing has": (
        rewrite("redis-url", "@redis:", "@reddis:"),
        "Deployment node: no Service reddis with port 6379",
    ),
    "a port of the store that nothing has": (
        rewrite("redis-url", ":6379", ":6380"),
        "Deployment node: no Service redis with port 6380",
    ),
    "an option of the store's URL that is not known": (
        rewrite("redis-url", "6379/0", "6379/0?ttl=3"),
        "Deployment node, container node: REDIS_URL: the URL has an unknown option: 'ttl'",
    ),
    "a certificate that is not mounted": (
        lambda m: (
            rewrite("redis-url", "redis://", "rediss://")(m),
            rewrite("redis-url", "6379/0", "6379/0?ssl_ca_certs=/cluster/node/ca.pem")(m),
        ),
        "REDIS_URL: the URL has a wrong option: 'ssl_ca_certs'",
    ),
    "no route": (remove("HTTPRoute", "shop"), "nothing leads to Service proxy"),
    "a route without a gateway": (
        lambda m: spec(m, "shop", "HTTPRoute").pop("parentRefs"),
        "HTTPRoute shop: parentRefs must name a gateway",
    ),
    "another namespace": (
        lambda m: (m.find("Service", "proxy") or {})["metadata"].update(namespace="shop"),
        "Service proxy: its namespace must be session-cluster",
    ),
    "another name of the namespace": (
        lambda m: (m.find("Namespace", "session-cluster") or {})["metadata"].update(name="shop"),
        "Namespace shop: its name must be session-cluster",
    ),
    "no policy of the proxies": (
        remove("NetworkPolicy", "proxy"),
        "gateway to Deployment proxy at port 8080: no NetworkPolicy allows this ingress of Deployment proxy",
    ),
    "no policy of the nodes": (
        remove("NetworkPolicy", "node"),
        "Deployment proxy to Deployment node at port 8000: no NetworkPolicy allows this ingress of Deployment node",
    ),
    "no policy of the DNS": (
        remove("NetworkPolicy", "dns"),
        "Deployment node to DNS at port 53: no NetworkPolicy allows this egress of Deployment node",
    ),
    "a policy of the DNS without UDP": (
        lambda m: spec(m, "dns", "NetworkPolicy")["egress"][0]["ports"].pop(0),
        "Deployment proxy to DNS at port 53: no NetworkPolicy allows this egress",
    ),
    "a policy with another peer": (
        lambda m: spec(m, "redis", "NetworkPolicy")["ingress"][0]["from"][0].update(podSelector=PROXIES),
        "Deployment node to StatefulSet redis at port 6379: no NetworkPolicy allows this ingress of StatefulSet redis",
    ),
    "a policy with a peer in another namespace": (
        lambda m: spec(m, "node-to-redis", "NetworkPolicy")["egress"][0]["to"][0].update(
            namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "valkey"}}
        ),
        "Deployment node to StatefulSet redis at port 6379: no NetworkPolicy allows this egress of Deployment node",
    ),
    "sessions in memory": (
        lambda m: data(m, "node-settings").update(SESSION_STORE="memory"),
        "SESSION_STORE=memory: each pod would have sessions of its own",
    ),
    "a secret that its reader can't read": (
        lambda m: pod(m)["securityContext"].pop("fsGroup"),
        "Deployment node: fsGroup must be set, or no container can read volume secrets (0440)",
    ),
    "a Redis without a file": (rewrite("redis.conf", "appendonly yes", "appendonly no"), "appendonly must be yes"),
    "a Redis that evicts sessions": (
        lambda m: redis(m)["template"]["spec"]["containers"][0]["command"].extend(
            ["--maxmemory-policy", "allkeys-lru"]
        ),
        "maxmemory-policy must be noeviction, not allkeys-lru",
    ),
    "a Redis without a volume": (
        lambda m: redis(m)["volumeClaimTemplates"][0]["metadata"].update(name="other"),
        "dir /data must be where a PersistentVolumeClaim is mounted",
    ),
    "one zone": (lambda m: pod(m)["topologySpreadConstraints"].pop(0), "must have topology.kubernetes.io/zone"),
    "no default deny": (
        lambda m: spec(m, "default-deny", "NetworkPolicy").update(policyTypes=["Ingress"]),
        "denies all ingress and egress",
    ),
    "an unknown variable": (
        lambda m: data(m, "node-settings").update(SESSION_IDLE_TIMOUT="60"),
        "SESSION_IDLE_TIMOUT is not a setting",
    ),
    "a wrong value": (
        lambda m: data(m, "node-settings").update(SESSION_STORE="reddis"),
        "SESSION_STORE must be one of",
    ),
    "a secret elsewhere": (
        lambda m: data(m, "node-settings").update(REDIS_URL_FILE="/cluster/redis-url"),
        "REDIS_URL_FILE=/cluster/redis-url: no Secret or ConfigMap is mounted there",
    ),
    "a volume that does not exist": (lambda m: pod(m)["volumes"].pop(0), "volume tmp does not exist"),
    "a Secret that does not exist": (
        lambda m: pod(m)["volumes"][1]["secret"].update(secretName="node-secrets-0123456789"),
        "Secret node-secrets-0123456789 does not exist",
    ),
    "a name without a namespace": (rename("node.session-cluster.svc.cluster.local:", "node:"), "must be the full name"),
    "nodes behind one address": (
        lambda m: spec(m, "node", "Service").pop("clusterIP"),
        "Service node must be headless",
    ),
    "a host that nginx does not serve": (
        lambda m: spec(m, "shop", "HTTPRoute").update(hostnames=["example.org"]),
        "example.org is not a server_name",
    ),
    "what nginx refuses": (rename("random two;", "randomly two;"), 'unknown directive "randomly"'),
}


SCHEMA_MISTAKES: dict[str, tuple[Callable[[Manifests], object], str]] = {
    "a misspelt field": (lambda m: pod(m).update(terminationGracePeriod=30), "terminationGracePeriod"),
    "a wrong type": (lambda m: spec(m, "node", "HorizontalPodAutoscaler").update(maxReplicas="12"), "maxReplicas"),
    "an unknown kind": (lambda m: m.objects[-1].update(kind="Routes", apiVersion="v1"), "Routes"),
    "a version that is gone": (
        lambda m: (m.find("HorizontalPodAutoscaler", "node") or {}).update(apiVersion="autoscaling/v2beta2"),
        "v2beta2",
    ),
}
