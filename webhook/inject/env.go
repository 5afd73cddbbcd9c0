package inject

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Environment variables that H2O's Kubernetes mode reads.
// Source: water.k8s.H2OCluster and water.k8s.lookup.LookupConstraintsBuilder.
const (
	// EnvServiceDNS is the name looked up for peers; its presence alone
	// switches Kubernetes mode on.
	EnvServiceDNS = "H2O_KUBERNETES_SERVICE_DNS"
	// EnvExpectedCount ends the lookup when exactly that many nodes are known.
	EnvExpectedCount = "H2O_NODE_EXPECTED_COUNT"
	// EnvLookupTimeout ends the lookup after that many seconds.
	EnvLookupTimeout = "H2O_NODE_LOOKUP_TIMEOUT"
	// EnvAPIPort is the probe server's port. Kubernetes itself sets it to an
	// URL where a Service is named h2o-kubernetes-api, so it is always set.
	EnvAPIPort = "H2O_KUBERNETES_API_PORT"
	// EnvJavaToolOptions is read by the JVM itself; H2O takes the system
	// properties ai.h2o.* in it for arguments.
	EnvJavaToolOptions = "JAVA_TOOL_OPTIONS"
)

// envList edits a container's variables: what is new goes before the user's
// own, in the order of the calls, so that theirs can refer to it with $().
type envList struct {
	vars  []corev1.EnvVar
	added int
}

// positions gives where a variable stands; Kubernetes allows it several times
// and the last one counts.
func positions(vars []corev1.EnvVar, name string) []int {
	var at []int
	for i := range vars {
		if vars[i].Name == name {
			at = append(at, i)
		}
	}
	return at
}

// last gives the variable that counts, nil when there is none.
func (l *envList) last(name string) *corev1.EnvVar {
	at := positions(l.vars, name)
	if len(at) == 0 {
		return nil
	}
	return &l.vars[at[len(at)-1]]
}

func (l *envList) add(name, value string) {
	grown := make([]corev1.EnvVar, 0, len(l.vars)+1)
	grown = append(grown, l.vars[:l.added]...)
	grown = append(grown, corev1.EnvVar{Name: name, Value: value})
	l.vars = append(grown, l.vars[l.added:]...)
	l.added++
}

// own sets a variable that is ours by identity, wherever it stands. It returns
// what the user had set to something else, nil for nothing.
func (l *envList) own(name, value string) *corev1.EnvVar {
	at := positions(l.vars, name)
	if len(at) == 0 {
		l.add(name, value)
		return nil
	}
	var replaced *corev1.EnvVar
	for _, i := range at {
		v := l.vars[i]
		if v.ValueFrom == nil && v.Value == value {
			continue
		}
		replaced = &v
		l.vars[i] = corev1.EnvVar{Name: name, Value: value}
	}
	return replaced
}

// injectEnv sets H2O's variables in the list and returns the probe server's port.
func (b *builder) injectEnv(l *envList) (int32, error) {
	port, err := b.apiPort(l)
	if err != nil {
		return 0, err
	}
	b.ownVariable(l, EnvServiceDNS, serviceDNS(b.set, b.settings.ClusterDomain), ReasonDiscovery)
	b.ownVariable(l, EnvExpectedCount, strconv.Itoa(int(replicas(b.set))), ReasonExpectedCount)
	if user := l.last(EnvLookupTimeout); user == nil {
		l.add(EnvLookupTimeout, strconv.Itoa(int(b.settings.LookupTimeout)))
	} else if asked, ok := b.set.Annotations[policy.AnnotationLookupTimeout]; ok && (user.ValueFrom != nil || user.Value != asked) {
		b.warn(ReasonLookupTimeout, "annotation %s is ignored: container %s sets %s itself", policy.AnnotationLookupTimeout, b.container.Name, EnvLookupTimeout)
	}
	if l.last(EnvAPIPort) == nil {
		l.add(EnvAPIPort, strconv.Itoa(int(port)))
	}
	b.injectJavaOptions(l)
	return port, nil
}

// apiPort decides the probe server's port: the user's literal, else the setting.
func (b *builder) apiPort(l *envList) (int32, error) {
	user := l.last(EnvAPIPort)
	if user == nil {
		return b.settings.APIPort, nil
	}
	if user.ValueFrom != nil {
		return 0, b.reject("sets %s with valueFrom: the readiness probe must name the same port, so it has to be a literal, or left out and set with annotation %s", EnvAPIPort, policy.AnnotationAPIPort)
	}
	port, ok := policy.ParseAPIPort(user.Value)
	if !ok {
		return 0, b.reject("sets %s to %q: want a TCP port from 1 to 65535 other than %d and %d, which H2O uses itself", EnvAPIPort, user.Value, policy.PortREST, policy.PortInternal)
	}
	if _, asked := b.set.Annotations[policy.AnnotationAPIPort]; asked && port != b.settings.APIPort {
		b.warn(ReasonAPIPort, "annotation %s is ignored: container %s sets %s to %d itself", policy.AnnotationAPIPort, b.container.Name, EnvAPIPort, port)
	}
	return port, nil
}

func (b *builder) ownVariable(l *envList, name, value string, reason Reason) {
	replaced := l.own(name, value)
	switch {
	case replaced == nil:
	case replaced.ValueFrom != nil:
		b.warn(reason, "container %s: %s is replaced by %q: %s", b.container.Name, name, value, reason.Explain())
	default:
		b.warn(reason, "container %s: %s=%q is replaced by %q: %s", b.container.Name, name, replaced.Value, value, reason.Explain())
	}
}

// replicas is the wanted number of nodes; Kubernetes' default is 1.
func replicas(set *appsv1.StatefulSet) int32 {
	if set.Spec.Replicas != nil {
		return *set.Spec.Replicas
	}
	return 1
}
