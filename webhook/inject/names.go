package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// LabelCluster marks a StatefulSet as managed when its value is LabelClusterValue.
const (
	LabelCluster      = "h2o.ai/cluster"
	LabelClusterValue = "true"
	// LabelClusterName is on every pod and Service of a cluster.
	LabelClusterName = "h2o.ai/cluster-name"
)

const hashLength = 8

// hashOf gives a short, stable fingerprint of a name.
func hashOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])[:hashLength]
}

// shorten cuts a name to a length and ends it in its fingerprint, so that two
// long names that begin alike stay apart.
func shorten(name, whole string, length int) string {
	name = name[:min(len(name), length-hashLength-1)]
	return strings.TrimRight(name, "-_.") + "-" + hashOf(whole)
}

// ClusterName is the value of LabelClusterName: the StatefulSet's name, or a
// shortened one where that is no valid label value (at most 63 characters).
func ClusterName(set *appsv1.StatefulSet) string {
	if len(validation.IsValidLabelValue(set.Name)) == 0 {
		return set.Name
	}
	return shorten(set.Name, set.Name, validation.LabelValueMaxLength)
}

// serviceLabel makes a valid Service name (DNS label of RFC 1035, at most 63
// characters) of a StatefulSet's name (DNS subdomain, at most 253) and a suffix.
func serviceLabel(name, suffix string) string {
	whole := name + suffix
	if len(validation.IsDNS1035Label(whole)) == 0 {
		return whole
	}
	base := strings.ReplaceAll(name, ".", "-")
	if base == "" || base[0] < 'a' || base[0] > 'z' {
		base = "h2o-" + base
	}
	return shorten(base, whole, validation.DNS1035LabelMaxLength-len(suffix)) + suffix
}

// DiscoveryServiceName is the name of the headless Service through which the
// nodes find each other: spec.serviceName, or one made from the set's name.
func DiscoveryServiceName(set *appsv1.StatefulSet) string {
	if set.Spec.ServiceName != "" {
		return set.Spec.ServiceName
	}
	return serviceLabel(set.Name, "")
}

// LeaderServiceName is the name of the Service that clients use.
func LeaderServiceName(set *appsv1.StatefulSet) string {
	name := serviceLabel(set.Name, "-leader")
	if name == DiscoveryServiceName(set) {
		return shorten(name, name, validation.DNS1035LabelMaxLength)
	}
	return name
}

// cloudName is H2O's own name for the cluster, see package documentation of
// policy: nodes with different cloud names never join one cloud.
func cloudName(set *appsv1.StatefulSet) string { return set.Namespace + "-" + set.Name }

// serviceDNS is the name that H2O asks for. It must be fully qualified, since
// H2O asks without search domains.
// Source: water.k8s.lookup.KubernetesDnsLookup.
func serviceDNS(set *appsv1.StatefulSet, clusterDomain string) string {
	return DiscoveryServiceName(set) + "." + set.Namespace + ".svc." + clusterDomain
}
