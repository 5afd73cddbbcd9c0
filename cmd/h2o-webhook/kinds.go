package main

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// newScheme knows the kinds that are read and written, and no others: they would
// be a megabyte of memory.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1.AddToScheme, appsv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, eventsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err) // the types are compiled in
		}
	}
	return scheme
}

// newMapper knows the resources of the kinds that are read and written, which
// are of Kubernetes itself and everywhere the same: nothing has to be discovered,
// and what was discovered be kept.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind, scope := range map[schema.GroupVersionKind]meta.RESTScope{
		appsv1.SchemeGroupVersion.WithKind("StatefulSet"):                                     meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("Pod"):                                             meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("Secret"):                                          meta.RESTScopeNamespace,
		corev1.SchemeGroupVersion.WithKind("Service"):                                         meta.RESTScopeNamespace,
		discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"):                              meta.RESTScopeNamespace,
		eventsv1.SchemeGroupVersion.WithKind("Event"):                                         meta.RESTScopeNamespace,
		admissionregistrationv1.SchemeGroupVersion.WithKind("MutatingWebhookConfiguration"):   meta.RESTScopeRoot,
		admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"): meta.RESTScopeRoot,
	} {
		mapper.Add(kind, scope)
	}
	return mapper
}
