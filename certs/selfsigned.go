package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Keys of the Secret.
const (
	keyAuthority    = "ca.crt"
	keyAuthorityKey = "ca.key"
	keyLeaf         = corev1.TLSCertKey
	keyLeafKey      = corev1.TLSPrivateKeyKey
)

// retryAfter bounds how long a failed update is left alone; checkEvery how long
// it takes at most to see that a certificate nears its end.
const (
	retryAfter = 5 * time.Second
	checkEvery = time.Hour
)

// Options say where a SelfSigned source keeps and announces its certificates.
type Options struct {
	// Namespace and SecretName name the Secret; it is made when missing.
	Namespace, SecretName string
	// Configuration names the two webhook configurations whose caBundle is set:
	// the MutatingWebhookConfiguration, and the ValidatingWebhookConfiguration of
	// the same name where there is one.
	Configuration string
	// Hosts are the names and addresses that the API server calls.
	Hosts []string
}

// CacheByObject restricts a cache to the objects that a source looks at.
func (o Options) CacheByObject() map[client.Object]cache.ByObject {
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector(metav1.ObjectNameField, name) }
	return map[client.Object]cache.ByObject{
		&corev1.Secret{}: {Namespaces: map[string]cache.Config{o.Namespace: {FieldSelector: named(o.SecretName)}}},
		&admissionregistrationv1.MutatingWebhookConfiguration{}:   {Field: named(o.Configuration)},
		&admissionregistrationv1.ValidatingWebhookConfiguration{}: {Field: named(o.Configuration)},
	}
}

// SelfSigned keeps an authority and a leaf in a Secret that all replicas serve,
// and writes the authority into the webhook configurations. It runs on every
// replica: whoever comes first writes, the others read.
type SelfSigned struct {
	options Options
	client  client.Client
	cache   cache.Cache
	log     logr.Logger
	served  atomic.Pointer[tls.Certificate]
	trusted atomic.Bool
}

// NewSelfSigned makes a source. The cache must hold what CacheByObject says.
func NewSelfSigned(options Options, c client.Client, cached cache.Cache, log logr.Logger) *SelfSigned {
	return &SelfSigned{options: options, client: c, cache: cached, log: log}
}

// GetCertificate gives the Secret's leaf.
func (s *SelfSigned) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if served := s.served.Load(); served != nil {
		return served, nil
	}
	return nil, errors.New("no certificate yet")
}

// Ready fails until a leaf is served and the webhook configuration trusts it.
func (s *SelfSigned) Ready(*http.Request) error {
	switch {
	case s.served.Load() == nil:
		return errors.New("no certificate yet")
	case !s.trusted.Load():
		return fmt.Errorf("the webhook configurations %s do not trust the certificate yet", s.options.Configuration)
	}
	return nil
}

// NeedLeaderElection is false: every replica serves.
func (s *SelfSigned) NeedLeaderElection() bool { return false }

// Start keeps Secret, leaf and caBundle right until the context ends. It looks
// again whenever one of the objects changes.
func (s *SelfSigned) Start(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	for _, object := range append(configurations(), &corev1.Secret{}) {
		informer, err := s.cache.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("cannot watch %T: %w", object, err)
		}
		if _, err := informer.AddEventHandler(notify(changed)); err != nil {
			return fmt.Errorf("cannot watch %T: %w", object, err)
		}
	}
	for {
		next := checkEvery
		if err := s.update(ctx); err != nil && ctx.Err() == nil {
			s.log.Error(err, "certificate not updated", "namespace", s.options.Namespace, "name", s.options.SecretName)
			next = retryAfter
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(next):
		}
	}
}

func notify(changed chan<- struct{}) toolscache.ResourceEventHandler {
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // a look is due already
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { tell() }, UpdateFunc: func(any, any) { tell() }, DeleteFunc: func(any) { tell() },
	}
}

// update brings Secret, served leaf and caBundle in line.
func (s *SelfSigned) update(ctx context.Context) error {
	m, err := s.ensureSecret(ctx)
	if err != nil {
		return err
	}
	leaf, err := tls.X509KeyPair(m.leaf, m.leafKey)
	if err != nil {
		return fmt.Errorf("cannot serve the leaf of secret %s: %w", s.options.SecretName, err)
	}
	s.served.Store(&leaf)
	err = s.ensureTrust(ctx, m.authority)
	s.trusted.Store(err == nil)
	return err
}

// ensureSecret gives what is in the Secret, after making or renewing what is
// due. Where another replica was quicker, the next look reads its Secret.
func (s *SelfSigned) ensureSecret(ctx context.Context) (material, error) {
	secret := &corev1.Secret{}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: s.options.Namespace, Name: s.options.SecretName}, secret)
	if client.IgnoreNotFound(err) != nil {
		return material{}, fmt.Errorf("cannot read secret %s: %w", s.options.SecretName, err)
	}
	missing := apierrors.IsNotFound(err)
	m := material{secret.Data[keyAuthority], secret.Data[keyAuthorityKey], secret.Data[keyLeaf], secret.Data[keyLeafKey]}
	now := time.Now()
	what, why := decide(m, now, s.options.Hosts)
	if what == keep {
		return m, nil
	}
	if m, err = apply(what, m, now, s.options.Hosts); err != nil {
		return m, err
	}
	secret.Namespace, secret.Name = s.options.Namespace, s.options.SecretName
	secret.Data = map[string][]byte{keyAuthority: m.authority, keyAuthorityKey: m.authorityKey, keyLeaf: m.leaf, keyLeafKey: m.leafKey}
	if missing {
		secret.Type = corev1.SecretTypeTLS
		err, why = s.client.Create(ctx, secret), "there is no secret"
	} else {
		err = s.client.Update(ctx, secret)
	}
	if err != nil {
		return m, fmt.Errorf("cannot write secret %s: %w", s.options.SecretName, err)
	}
	s.log.Info("certificate written", "namespace", s.options.Namespace, "name", s.options.SecretName, "action", what, "reason", why)
	return m, nil
}

// configurations gives an empty object of each kind that trusts us.
func configurations() []client.Object {
	return []client.Object{&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}}
}

// calls gives how a configuration's webhooks are called.
func calls(configuration client.Object) []*admissionregistrationv1.WebhookClientConfig {
	var all []*admissionregistrationv1.WebhookClientConfig
	switch c := configuration.(type) {
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		for i := range c.Webhooks {
			all = append(all, &c.Webhooks[i].ClientConfig)
		}
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		for i := range c.Webhooks {
			all = append(all, &c.Webhooks[i].ClientConfig)
		}
	}
	return all
}

// ensureTrust writes the authority into both configurations. Without the
// mutating one there is no product; the validating one, which only guards, may
// be taken away by who does not want it.
func (s *SelfSigned) ensureTrust(ctx context.Context, authority []byte) error {
	for _, configuration := range configurations() {
		err := s.ensureTrustOf(ctx, configuration, authority)
		if _, guards := configuration.(*admissionregistrationv1.ValidatingWebhookConfiguration); guards && apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot bring %T %s to trust the certificate: %w", configuration, s.options.Configuration, err)
		}
	}
	return nil
}

// ensureTrustOf writes the authority into every webhook of a configuration. The
// resource version in the patch keeps it from undoing somebody's newer write.
func (s *SelfSigned) ensureTrustOf(ctx context.Context, configuration client.Object, authority []byte) error {
	if err := s.client.Get(ctx, client.ObjectKey{Name: s.options.Configuration}, configuration); err != nil {
		return err
	}
	before, _ := configuration.DeepCopyObject().(client.Object)
	differs := false
	for _, c := range calls(configuration) {
		if !trusts(c.CABundle, authority) {
			c.CABundle, differs = authority, true
		}
	}
	if !differs {
		return nil
	}
	s.trusted.Store(false)
	if err := s.client.Patch(ctx, configuration, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	s.log.Info("caBundle written", "kind", fmt.Sprintf("%T", configuration), "name", s.options.Configuration)
	return nil
}
