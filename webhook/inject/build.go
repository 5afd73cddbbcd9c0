package inject

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// RejectedError says that a StatefulSet cannot become a correct H2O cluster
// and what its user can do.
type RejectedError struct{ Message string }

// Error gives the reason on one line.
func (e *RejectedError) Error() string { return e.Message }

// builder makes the wanted StatefulSet out of the user's.
type builder struct {
	set       *appsv1.StatefulSet // a copy, edited in place
	settings  policy.Settings
	stored    *appsv1.StatefulSet // what the server holds already, nil on create
	container *corev1.Container   // H2O's, in set
	warnings  []Warning
}

// build gives the StatefulSet that is wanted where its user wrote user. stored
// is what the server holds already, nil on create: some fields cannot be set later.
func build(user, stored *appsv1.StatefulSet, defaults policy.Settings) (*appsv1.StatefulSet, []Warning, error) {
	settings, err := policy.Resolve(defaults, user.Annotations)
	if err != nil {
		return nil, nil, &RejectedError{Message: err.Error()}
	}
	b := &builder{set: editable(user), settings: settings, stored: stored}
	if b.set.Name == "" {
		return nil, nil, &RejectedError{Message: "metadata.name is empty: an H2O cluster's Services and DNS names are made from it, so generateName cannot be used"}
	}
	if b.container, err = chooseContainer(b.set, settings.Container); err != nil {
		return nil, nil, err
	}
	if b.container.Name == "" {
		return nil, nil, &RejectedError{Message: "the container that would run H2O has no name: what is injected is recorded by it"}
	}
	b.injectSpec()
	b.injectTemplateLabel()
	l := &envList{vars: slices.Clone(b.container.Env)}
	port, err := b.injectEnv(l)
	if err != nil {
		return nil, nil, err
	}
	b.container.Env = l.vars
	b.injectPorts(port)
	b.injectProbe(port)
	return b.set, b.warnings, nil
}

func (b *builder) reject(format string, args ...any) error {
	return &RejectedError{Message: fmt.Sprintf("container %s ", b.container.Name) + fmt.Sprintf(format, args...)}
}

// chooseContainer finds the container that runs H2O: the one named by the
// annotation, else by its name, its port, kubectl's default, its place.
func chooseContainer(set *appsv1.StatefulSet, named string) (*corev1.Container, error) {
	containers := set.Spec.Template.Spec.Containers
	if len(containers) == 0 {
		return nil, &RejectedError{Message: "spec.template.spec.containers is empty: there is no container that could run H2O"}
	}
	byName := func(name string) *corev1.Container {
		for i := range containers {
			if containers[i].Name == name {
				return &containers[i]
			}
		}
		return nil
	}
	if named != "" {
		if c := byName(named); c != nil {
			return c, nil
		}
		return nil, &RejectedError{Message: fmt.Sprintf("annotation %s names container %q, which the pod template lacks: it has %s",
			policy.AnnotationContainer, named, strings.Join(containerNames(containers), ", "))}
	}
	if c := byName("h2o"); c != nil {
		return c, nil
	}
	for i := range containers {
		if declares(containers[i].Ports, corev1.ContainerPort{ContainerPort: policy.PortREST}) {
			return &containers[i], nil
		}
	}
	if c := byName(set.Spec.Template.Annotations["kubectl.kubernetes.io/default-container"]); c != nil {
		return c, nil
	}
	return &containers[0], nil
}

func containerNames(containers []corev1.Container) []string {
	names := make([]string, 0, len(containers))
	for i := range containers {
		names = append(names, containers[i].Name)
	}
	return names
}

// injectSpec sets what stands outside of the template.
func (b *builder) injectSpec() {
	spec := &b.set.Spec
	if b.stored == nil {
		if spec.ServiceName == "" {
			spec.ServiceName = DiscoveryServiceName(b.set)
		}
		spec.PodManagementPolicy = appsv1.ParallelPodManagement
	} else if spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		b.warn(ReasonParallel, "spec.podManagementPolicy is OrderedReady and cannot be changed: pods start one after another, so forming takes longer; to change it, make the StatefulSet anew")
	}
	if b.settings.UpdateStrategy == policy.UpdateKeep {
		return
	}
	if customStrategy(spec.UpdateStrategy) {
		b.warnings = append(b.warnings, strategyReplaced())
	}
	spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
}

func strategyReplaced() Warning {
	return newWarning(ReasonWholeRestart, "spec.updateStrategy is replaced by OnDelete: %s; annotation %s: keep would keep it", ReasonWholeRestart.Explain(), policy.AnnotationUpdateStrategy)
}

// customStrategy says whether a user chose an update strategy: where nobody did
// the server fills in a RollingUpdate from partition 0, one pod at a time.
// Source: k8s.io/kubernetes pkg/apis/apps/v1 SetDefaults_StatefulSet.
func customStrategy(s appsv1.StatefulSetUpdateStrategy) bool {
	r := s.RollingUpdate
	if r == nil {
		return false
	}
	return r.MaxUnavailable != nil && *r.MaxUnavailable != intstr.FromInt32(1) || r.Partition != nil && *r.Partition != 0
}

// injectTemplateLabel labels the pods, unless the set's own selector forbids it:
// a selector cannot be changed and must go on matching the template.
func (b *builder) injectTemplateLabel() {
	wanted := ClusterName(b.set)
	meta := &b.set.Spec.Template.ObjectMeta
	had, has := meta.Labels[LabelClusterName]
	if has && had == wanted {
		return
	}
	labelled := maps.Clone(meta.Labels)
	if labelled == nil {
		labelled = map[string]string{}
	}
	labelled[LabelClusterName] = wanted
	selector, err := metav1.LabelSelectorAsSelector(b.set.Spec.Selector)
	if err == nil && selector.Matches(labels.Set(meta.Labels)) && !selector.Matches(labels.Set(labelled)) {
		b.warn(ReasonClusterLabel, "spec.selector forbids template label %s=%s: the Services select by the template's own labels instead", LabelClusterName, wanted)
		return
	}
	if has {
		b.warn(ReasonClusterLabel, "template label %s=%s is replaced by %s: %s", LabelClusterName, had, wanted, ReasonClusterLabel.Explain())
	}
	meta.Labels = labelled
}

// injectPorts declares the ports that H2O listens on. A declared port is only
// information, so it is left out where declaring it would make the pod invalid.
func (b *builder) injectPorts(apiPort int32) {
	ports := slices.Clone(b.container.Ports)
	for _, p := range []corev1.ContainerPort{
		{Name: "h2o", ContainerPort: policy.PortREST},
		{Name: "h2o-internal", ContainerPort: policy.PortInternal},
		{Name: "h2o-probe", ContainerPort: apiPort},
	} {
		p.Protocol = corev1.ProtocolTCP
		if other := b.listens(p); other != "" {
			b.warn(ReasonPort, "container %s also declares port %d: the pod's containers share their ports, and H2O in container %s needs it", other, p.ContainerPort, b.container.Name)
			if b.set.Spec.Template.Spec.HostNetwork {
				continue // two equal host ports in one pod are invalid
			}
		}
		if declares(ports, p) {
			continue
		}
		if slices.ContainsFunc(ports, func(had corev1.ContainerPort) bool { return had.Name == p.Name }) {
			p.Name = "" // the user's name for another port; names are unique in a container
		}
		ports = append(ports, p)
	}
	b.container.Ports = ports
}

// listens names another container of the pod that declares the port and could
// run at the same time as H2O; on the host's network that is every container.
func (b *builder) listens(p corev1.ContainerPort) string {
	spec := &b.set.Spec.Template.Spec
	for i := range spec.Containers {
		if c := &spec.Containers[i]; c.Name != b.container.Name && declares(c.Ports, p) {
			return c.Name
		}
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		stays := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		if (stays || spec.HostNetwork) && declares(c.Ports, p) {
			return c.Name
		}
	}
	return ""
}

// declares says whether a port's number and protocol are in a list.
func declares(ports []corev1.ContainerPort, p corev1.ContainerPort) bool {
	return slices.ContainsFunc(ports, func(had corev1.ContainerPort) bool {
		return had.ContainerPort == p.ContainerPort && protocol(had) == protocol(p)
	})
}

// injectProbe sets the readiness probe that H2O documents.
func (b *builder) injectProbe(apiPort int32) {
	if b.settings.Readiness == policy.ReadinessKeep {
		return
	}
	wanted := leaderProbe(apiPort)
	if user := b.container.ReadinessProbe; user != nil {
		if apiequality.Semantic.DeepEqual(withDefaults(user, b.container.Ports), wanted) {
			return
		}
		b.warn(ReasonLeaderProbe, "container %s: its readiness probe is replaced: %s; annotation %s: keep would keep it", b.container.Name, ReasonLeaderProbe.Explain(), policy.AnnotationReadiness)
	}
	b.container.ReadinessProbe = wanted
}

// leaderProbe is the readiness probe of H2O's documentation, with Kubernetes'
// own defaults written out, so that a stored one is the same.
func leaderProbe(port int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: "/kubernetes/isLeaderNode", Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP,
		}},
		InitialDelaySeconds: 5, PeriodSeconds: 5, FailureThreshold: 1, SuccessThreshold: 1, TimeoutSeconds: 1,
	}
}

// withDefaults fills in what the server would, and a named port's number.
// Source: k8s.io/kubernetes pkg/apis/core/v1 SetDefaults_Probe, SetDefaults_HTTPGetAction.
func withDefaults(probe *corev1.Probe, ports []corev1.ContainerPort) *corev1.Probe {
	p := probe.DeepCopy()
	for field, value := range map[*int32]int32{&p.TimeoutSeconds: 1, &p.PeriodSeconds: 10, &p.SuccessThreshold: 1, &p.FailureThreshold: 3} {
		if *field == 0 {
			*field = value
		}
	}
	if p.HTTPGet == nil {
		return p
	}
	if p.HTTPGet.Path == "" {
		p.HTTPGet.Path = "/"
	}
	if p.HTTPGet.Scheme == "" {
		p.HTTPGet.Scheme = corev1.URISchemeHTTP
	}
	for _, port := range ports {
		if p.HTTPGet.Port.Type == intstr.String && p.HTTPGet.Port.StrVal != "" && p.HTTPGet.Port.StrVal == port.Name {
			p.HTTPGet.Port = intstr.FromInt32(port.ContainerPort)
		}
	}
	return p
}

// portKey is what makes two declared ports the same.
func portKey(p corev1.ContainerPort) string {
	return strconv.Itoa(int(p.ContainerPort)) + "/" + string(protocol(p))
}

func protocol(p corev1.ContainerPort) corev1.Protocol {
	if p.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return p.Protocol
}
