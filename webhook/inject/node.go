package inject

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Node names the container of an injected set that runs H2O, and gives the TCP
// port of its probe server. The name is empty where the set has no container.
func Node(set *appsv1.StatefulSet) (container string, apiPort int32) {
	c, err := chooseContainer(set, set.Annotations[policy.AnnotationContainer])
	if err != nil {
		return "", 0
	}
	l := &envList{vars: c.Env}
	apiPort = policy.Defaults().APIPort
	if v := l.last(EnvAPIPort); v != nil {
		if port, ok := policy.ParseAPIPort(v.Value); ok {
			apiPort = port
		}
	}
	return c.Name, apiPort
}

// CountsReplicas says whether the nodes of an injected set expect as many nodes
// as it has replicas.
func CountsReplicas(set *appsv1.StatefulSet) bool { return counts(set) }

// Replicas is how many nodes a set wants: spec.replicas, 1 when it is not set.
func Replicas(set *appsv1.StatefulSet) int { return int(replicas(set)) }
