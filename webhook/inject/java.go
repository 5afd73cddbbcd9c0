package inject

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// System properties that H2O takes for its arguments -name and
// -auto_recovery_dir. They come after the command line's and win over it.
// Source: water.H2O.main, "ai.h2o." properties.
const (
	propertyName     = "-Dai.h2o.name="
	propertyRecovery = "-Dai.h2o.auto_recovery_dir="
)

// The user's own ways to say the same: an argument of H2O in exec form, or
// somewhere in a shell's command line, with one dash or two.
var (
	argumentName     = regexp.MustCompile(`(^|\s)--?name(\s|$)`)
	argumentRecovery = regexp.MustCompile(`(^|\s)--?auto_recovery_dir(\s|$)`)
	argumentPort     = regexp.MustCompile(`(^|\s)--?(port|baseport|web_ip|flatfile)(\s|$)`)
)

// javaSources are the variables through which a user can hand options to the JVM.
var javaSources = []string{EnvJavaToolOptions, "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}

// injectJavaOptions gives the cluster a name of its own and, if asked for, a
// recovery directory, by system properties that leave the command untouched.
func (b *builder) injectJavaOptions(l *envList) {
	b.checkArguments()
	var options []string
	name := propertyName + cloudName(b.set)
	if b.saysItself(l, propertyName, name, argumentName) {
		b.warn(ReasonCloudName, "container %s names its H2O cloud itself: two clusters with that name can merge if they ever see each other", b.container.Name)
	} else {
		options = append(options, name)
	}
	if dir := b.recoveryDir(); dir != "" {
		if b.saysItself(l, propertyRecovery, propertyRecovery+dir, argumentRecovery) {
			b.warn(ReasonRecovery, "annotation %s is ignored: container %s sets a recovery directory itself", policy.AnnotationRecoveryDir, b.container.Name)
		} else {
			options = append(options, propertyRecovery+dir)
			b.checkRecoveryDir()
		}
	}
	if len(options) == 0 {
		return
	}
	user := l.last(EnvJavaToolOptions)
	switch {
	case user == nil:
		if len(b.container.EnvFrom) > 0 {
			b.warn(ReasonJavaOptions, "container %s has envFrom: a %s in there is hidden by the one injected; set it in env instead", b.container.Name, EnvJavaToolOptions)
		}
		l.add(EnvJavaToolOptions, strings.Join(options, " "))
	case user.ValueFrom != nil:
		b.warn(ReasonJavaOptions, "container %s sets %s with valueFrom, which cannot be added to: add %s there yourself", b.container.Name, EnvJavaToolOptions, strings.Join(options, " "))
	default:
		user.Value = appendOptions(user.Value, options)
	}
}

// appendOptions adds what is missing to a list of JVM options.
func appendOptions(value string, options []string) string {
	present := strings.Fields(value)
	for _, o := range options {
		if slices.Contains(present, o) {
			continue
		}
		if value != "" {
			value += " "
		}
		value += o
	}
	return value
}

// saysItself says whether the user has set one of H2O's arguments: by the
// property with another value than ours, or on the command line.
func (b *builder) saysItself(l *envList, property, ours string, argument *regexp.Regexp) bool {
	has := func(text string) bool {
		return slices.ContainsFunc(strings.Fields(text), func(option string) bool {
			option = strings.Trim(option, `"'`)
			return strings.HasPrefix(option, property) && option != ours
		})
	}
	for _, word := range slices.Concat(b.container.Command, b.container.Args) {
		if has(word) || argument.MatchString(word) {
			return true
		}
	}
	return slices.ContainsFunc(javaSources, func(source string) bool {
		v := l.last(source)
		return v != nil && has(v.Value)
	})
}

// checkArguments warns of arguments that H2O's Kubernetes mode cannot work with:
// every node expects its peers at port 54321, and makes its own list of them.
func (b *builder) checkArguments() {
	for _, word := range slices.Concat(b.container.Command, b.container.Args) {
		if found := argumentPort.FindString(word); found != "" {
			b.warn(ReasonArguments, "container %s starts H2O with %s: on Kubernetes its nodes look for each other at port %d of every pod only", b.container.Name, strings.TrimSpace(found), policy.PortREST)
		}
	}
}

// recoveryDir is the cluster's own directory below the one asked for.
func (b *builder) recoveryDir() string {
	if b.settings.RecoveryDir == "" {
		return ""
	}
	return strings.TrimRight(b.settings.RecoveryDir, "/") + "/" + cloudName(b.set)
}

// checkRecoveryDir warns where a restarted cluster would not find again what it
// saved: every node must see the same directory.
func (b *builder) checkRecoveryDir() {
	dir := b.settings.RecoveryDir
	if !strings.HasPrefix(dir, "/") {
		return // an address; H2O's own persistence layers reach it
	}
	mount := mountOf(b.container.VolumeMounts, dir)
	if mount == nil {
		b.warn(ReasonRecovery, "recovery directory %s is on no volume: what is saved there dies with the pod; mount a volume that all pods share", dir)
		return
	}
	if why := b.unshared(mount.Name); why != "" {
		b.warn(ReasonRecovery, "recovery directory %s is on volume %s, %s: mount a volume that all pods share", dir, mount.Name, why)
	} else if mount.ReadOnly {
		b.warn(ReasonRecovery, "recovery directory %s is on volume %s, which is mounted read-only: nothing can be saved there", dir, mount.Name)
	}
	if mount.SubPathExpr != "" {
		b.warn(ReasonRecovery, "recovery directory %s is mounted with subPathExpr %s: it must be the same directory in all pods", dir, mount.SubPathExpr)
	}
}

// mountOf finds the mount that holds a path: the longest one that contains it.
func mountOf(mounts []corev1.VolumeMount, dir string) *corev1.VolumeMount {
	var found *corev1.VolumeMount
	longest := -1
	for i := range mounts {
		at := strings.TrimRight(mounts[i].MountPath, "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) > longest {
			found, longest = &mounts[i], len(at)
		}
	}
	return found
}

// unshared says why a volume is not the same for all pods; empty when it can be.
func (b *builder) unshared(volume string) string {
	for i := range b.set.Spec.VolumeClaimTemplates {
		if b.set.Spec.VolumeClaimTemplates[i].Name == volume {
			return "a claim of each pod's own"
		}
	}
	for i := range b.set.Spec.Template.Spec.Volumes {
		v := &b.set.Spec.Template.Spec.Volumes[i]
		if v.Name != volume {
			continue
		}
		switch {
		case v.EmptyDir != nil || v.VolumeSource == (corev1.VolumeSource{}):
			return "an emptyDir, which dies with its pod"
		case v.Ephemeral != nil:
			return "an ephemeral volume, which dies with its pod"
		case v.HostPath != nil:
			return "a hostPath, which is another directory on each machine"
		case v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil || v.Image != nil || v.GitRepo != nil:
			return "which is read-only or each pod's own"
		}
	}
	return ""
}
