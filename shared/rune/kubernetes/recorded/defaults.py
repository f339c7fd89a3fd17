"""What objects of each kind have when a case says nothing of it."""

from rune.kubernetes.recorded.documents import Document, merge
from rune.kubernetes.recorded.templates import default_pod_spec

_NODE_INFO = {
    "machineID": "ec2a5d0f5b1d4f7e9a8c2b3d4e5f6a7b",
    "systemUUID": "ec2a5d0f-5b1d-4f7e-9a8c-2b3d4e5f6a7b",
    "bootID": "7f0a3c52-94b1-4c0e-8f5d-3b6a9d1e2c4f",
    "kernelVersion": "6.1.141-155.222.amzn2023.x86_64",
    "osImage": "Amazon Linux 2023.8.20250721",
    "containerRuntimeVersion": "containerd://1.7.27",
    "kubeletVersion": "v1.34.1",
    "kubeProxyVersion": "v1.34.1",
    "operatingSystem": "linux",
    "architecture": "amd64",
}
KUBERNETES_VERSION = "v1.34.1"
_ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}


def fill_object(kind: str, name: str, document: Document) -> Document:
    """Return a document with the members that the API server defaults for its kind."""
    return merge(_defaults_of(kind, name), document)


def _defaults_of(kind: str, name: str) -> Document:
    labels = {"matchLabels": {"app": name}}
    own = {"labels": {"app": name}}
    template = {"metadata": {"labels": {"app": name}}, "spec": default_pod_spec()}
    known: dict[str, Document] = {
        "Namespace": {
            "metadata": {"labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        },
        "Deployment": {
            "metadata": own,
            "spec": {
                "replicas": 1,
                "selector": labels,
                "template": template,
                "strategy": _ROLLING,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
        },
        "ReplicaSet": {"spec": {"replicas": 1, "selector": labels, "template": template}},
        "StatefulSet": {
            "metadata": own,
            "spec": {
                "replicas": 1,
                "selector": labels,
                "template": template,
                "serviceName": name,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "revisionHistoryLimit": 10,
            },
        },
        "DaemonSet": {
            "metadata": own,
            "spec": {
                "selector": labels,
                "template": template,
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                },
                "revisionHistoryLimit": 10,
            },
        },
        "Job": {
            "spec": {
                "parallelism": 1,
                "completions": 1,
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "suspend": False,
                "selector": {"matchLabels": {"batch.kubernetes.io/job-name": name}},
                "template": {
                    "metadata": {"labels": {"batch.kubernetes.io/job-name": name, "job-name": name}},
                    "spec": {**default_pod_spec(), "restartPolicy": "Never"},
                },
            }
        },
        "CronJob": {
            "spec": {
                "schedule": "0 3 * * *",
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
                "jobTemplate": {
                    "metadata": {},
                    "spec": {
                        "template": {"metadata": {}, "spec": {**default_pod_spec(), "restartPolicy": "Never"}}
                    },
                },
            },
            "status": {},
        },
        "Pod": {"spec": default_pod_spec()},
        "Service": {
            "spec": {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
            },
            "status": {"loadBalancer": {}},
        },
        "Ingress": {"spec": {"ingressClassName": "nginx"}, "status": {"loadBalancer": {}}},
        "Node": {
            "metadata": {
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    "node.kubernetes.io/instance-type": "m6i.xlarge",
                }
            },
            "spec": {"providerID": f"aws:///eu-central-1a/{name}"},
            "status": {
                "capacity": _capacity("4", "16066112Ki"),
                "allocatable": _capacity("3920m", "15029824Ki"),
                "nodeInfo": _NODE_INFO,
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
        },
        "PersistentVolumeClaim": {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "10Gi"}},
                "storageClassName": "standard",
                "volumeMode": "Filesystem",
            },
            "status": {"phase": "Pending"},
        },
        "PersistentVolume": {
            "spec": {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": "standard",
                "volumeMode": "Filesystem",
                "csi": {"driver": "ebs.csi.aws.com", "fsType": "ext4", "volumeHandle": f"vol-{name}"},
            },
            "status": {"phase": "Bound"},
        },
        "StorageClass": {
            "provisioner": "ebs.csi.aws.com",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
        },
        "HorizontalPodAutoscaler": {
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": 2,
                "maxReplicas": 6,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80},
                        },
                    }
                ],
            }
        },
        "NetworkPolicy": {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
        "PodDisruptionBudget": {"spec": {"selector": labels}},
        "ResourceQuota": {"spec": {"hard": {}}, "status": {"hard": {}, "used": {}}},
        "ConfigMap": {"data": {}},
        "Secret": {"type": "Opaque", "data": {}},
        "APIService": {
            "spec": {
                "group": name.partition(".")[2],
                "version": name.partition(".")[0],
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            }
        },
    }
    return known.get(kind, {})


def _capacity(cpu: str, memory: str) -> Document:
    return {
        "cpu": cpu,
        "ephemeral-storage": "83873772Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": memory,
        "pods": "58",
    }
