// Package randomset makes StatefulSets that an API server accepts, in all the
// odd forms that users write them in. Property tests draw from it, and the
// tests against a real API server prove that what it makes is valid.
package randomset

import (
	"fmt"
	"math/rand/v2"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type maker struct{ *rand.Rand }

// New makes one unlabelled StatefulSet; the same source gives the same one.
func New(source rand.Source) *appsv1.StatefulSet {
	m := maker{rand.New(source)}
	set := &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: metav1.ObjectMeta{Name: m.name(), Namespace: "default"},
	}
	if m.chance(3) {
		set.Annotations = map[string]string{"example.org/owner": m.word()}
	}
	if m.chance(2) {
		set.Labels = map[string]string{"team": "t" + m.word()}
	}
	set.Spec.Template.Labels = map[string]string{"app": "a" + m.word()}
	m.selector(set)
	m.spec(&set.Spec)
	m.pod(&set.Spec.Template.Spec)
	if m.chance(4) {
		set.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/default-container": pick(m, set.Spec.Template.Spec.Containers).Name}
	}
	m.annotations(set)
	return set
}

func (m maker) chance(oneIn int) bool { return m.IntN(oneIn) == 0 }

func pick[T any](m maker, list []T) T { return list[m.IntN(len(list))] }

const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

func (m maker) word() string { return m.text(1 + m.IntN(8)) }

func (m maker) text(length int) string {
	var b strings.Builder
	for range length {
		b.WriteByte(letters[m.IntN(len(letters))])
	}
	return b.String()
}

// name draws names of all lengths that a server of Kubernetes 1.37 takes: DNS
// labels, so no dots and at most 63 characters.
func (m maker) name() string {
	name := m.text(pick(m, []int{1, 2, 8, 20, 51, 52, 53, 62, 63}))
	if len(name) > 3 && m.chance(3) {
		return name[:1] + "-" + name[2:]
	}
	return name
}

func (m maker) selector(set *appsv1.StatefulSet) {
	labels := set.Spec.Template.Labels
	s := &metav1.LabelSelector{}
	switch m.IntN(6) {
	case 0:
		s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpExists}}
	case 1:
		s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{labels["app"], "x"}}}
	case 2:
		s.MatchLabels = map[string]string{"app": labels["app"]}
		s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "h2o.ai/cluster-name", Operator: metav1.LabelSelectorOpDoesNotExist}}
	case 3:
		labels["h2o.ai/cluster-name"] = "mine"
		s.MatchLabels = map[string]string{"h2o.ai/cluster-name": "mine"}
	case 4:
		s.MatchLabels = map[string]string{"app": labels["app"]}
		s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "h2o.ai/cluster-name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{set.Name[:min(len(set.Name), 1)]}}}
	default:
		s.MatchLabels = map[string]string{"app": labels["app"]}
	}
	set.Spec.Selector = s
}

func (m maker) spec(spec *appsv1.StatefulSetSpec) {
	if !m.chance(3) {
		n := int32(m.IntN(8))
		spec.Replicas = &n
	}
	if m.chance(2) {
		spec.ServiceName = "s" + m.word()
	}
	spec.PodManagementPolicy = pick(m, []appsv1.PodManagementPolicyType{"", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement})
	switch m.IntN(4) {
	case 0:
		spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	case 1:
		partition := int32(m.IntN(3))
		spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition}}
	}
	if m.chance(3) {
		spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: "claim"},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		}}
	}
	spec.MinReadySeconds = int32(m.IntN(3))
}

func (m maker) pod(pod *corev1.PodSpec) {
	pod.HostNetwork = m.chance(4)
	if m.chance(2) {
		pod.Volumes = append(pod.Volumes,
			corev1.Volume{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			corev1.Volume{Name: "shared", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "shared"}}},
			corev1.Volume{Name: "nfs", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "nfs.example", Path: "/x"}}},
		)
	}
	hostPorts := map[string]bool{}
	for i := range pick(m, []int{1, 1, 1, 2, 3, 20}) {
		name := fmt.Sprintf("c%d", i)
		if m.chance(4) && len(pod.Containers) == i && !named(pod.Containers, "h2o") {
			name = "h2o"
		}
		pod.Containers = append(pod.Containers, m.container(name, pod, hostPorts))
	}
	for i := range m.IntN(3) {
		c := m.container(fmt.Sprintf("init%d", i), pod, hostPorts)
		c.ReadinessProbe = nil
		if m.chance(2) {
			always := corev1.ContainerRestartPolicyAlways
			c.RestartPolicy = &always
		}
		pod.InitContainers = append(pod.InitContainers, c)
	}
}

func named(containers []corev1.Container, name string) bool {
	for i := range containers {
		if containers[i].Name == name {
			return true
		}
	}
	return false
}

func (m maker) container(name string, pod *corev1.PodSpec, hostPorts map[string]bool) corev1.Container {
	c := corev1.Container{Name: name, Image: "image:" + m.word(), Env: m.env(), Ports: m.ports(pod.HostNetwork, hostPorts), ReadinessProbe: m.probe()}
	if m.chance(5) {
		c.Command = pick(m, [][]string{{"java", "-jar", "h2o.jar"}, {"sh", "-c", "java -jar h2o.jar -name mine"}, {"sleep", "1"}})
	}
	if m.chance(6) {
		c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "env"}}}}
	}
	if len(pod.Volumes) > 0 && m.chance(2) {
		c.VolumeMounts = []corev1.VolumeMount{{Name: pick(m, pod.Volumes).Name, MountPath: pick(m, []string{"/recovery", "/data/", "/"})}}
	}
	return c
}

// env draws variables: H2O's own in every form that can be kept or replaced,
// the user's, some of them twice.
func (m maker) env() []corev1.EnvVar {
	var vars []corev1.EnvVar
	for range m.IntN(7) {
		vars = append(vars, m.variable())
	}
	return vars
}

func (m maker) variable() corev1.EnvVar {
	name := pick(m, []string{"A", "B", "H2O_KUBERNETES_SERVICE_DNS", "H2O_NODE_EXPECTED_COUNT", "H2O_NODE_LOOKUP_TIMEOUT", "JAVA_TOOL_OPTIONS"})
	if m.chance(8) {
		return corev1.EnvVar{Name: "H2O_KUBERNETES_API_PORT", Value: pick(m, []string{"8080", "8081", "9999"})}
	}
	if m.chance(4) {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Key: "k"}}}
	}
	return corev1.EnvVar{Name: name, Value: pick(m, []string{"", "3", "-Xmx1g", "-Xmx1g -Dai.h2o.name=mine", "$(A)", "x y", "ä"})}
}

// ports draws ports, some with our names, some of ours with other names. On the
// host's network no port may stand twice in a pod.
func (m maker) ports(hostNetwork bool, hostPorts map[string]bool) []corev1.ContainerPort {
	var ports []corev1.ContainerPort
	names := map[string]bool{}
	for range m.IntN(4) {
		p := corev1.ContainerPort{
			Name:          pick(m, []string{"", "h2o", "h2o-internal", "h2o-probe", "web", "p" + m.text(5)}),
			ContainerPort: pick(m, []int32{54321, 54322, 8081, 8080, 80, 1 + int32(m.IntN(65535))}),
			Protocol:      pick(m, []corev1.Protocol{"", corev1.ProtocolTCP, corev1.ProtocolUDP}),
		}
		protocol := p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		key := fmt.Sprintf("%d/%s", p.ContainerPort, protocol)
		if names[p.Name] || hostPorts[key] {
			continue
		}
		names[p.Name] = p.Name != ""
		if hostNetwork || m.chance(6) {
			p.HostPort = p.ContainerPort
			hostPorts[key] = true
		}
		ports = append(ports, p)
	}
	return ports
}

func (m maker) probe() *corev1.Probe {
	switch m.IntN(6) {
	case 0:
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/kubernetes/isLeaderNode", Port: intstr.FromInt32(8081)}}, InitialDelaySeconds: 5, PeriodSeconds: 5, FailureThreshold: 1}
	case 1:
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("web")}}}
	case 2:
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}, TimeoutSeconds: 3}
	case 3:
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}, SuccessThreshold: 2}
	case 4:
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 90}}}
	}
	return nil
}

// annotations draws settings of the product; they mean nothing while the set is
// unlabelled.
func (m maker) annotations(set *appsv1.StatefulSet) {
	for _, setting := range []struct {
		name   string
		values []string
	}{
		{"h2o.ai/api-port", []string{"8080", "9000"}},
		{"h2o.ai/lookup-timeout", []string{"60"}},
		{"h2o.ai/readiness", []string{"keep", "leader"}},
		{"h2o.ai/update-strategy", []string{"keep", "OnDelete"}},
		{"h2o.ai/recovery-dir", []string{"/recovery", "/data/x", "s3://bucket/x"}},
		{"h2o.ai/container", []string{pick(m, set.Spec.Template.Spec.Containers).Name}},
	} {
		if !m.chance(5) {
			continue
		}
		if set.Annotations == nil {
			set.Annotations = map[string]string{}
		}
		set.Annotations[setting.name] = pick(m, setting.values)
	}
}
