package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// TestTrustIsRepaired proves that admission works again by itself after
// somebody wrote the webhook configuration without its caBundle, or took the
// certificate away.
func TestTrustIsRepaired(t *testing.T) {
	works := func(e *test) {
		e.Helper()
		e.eventually("admission works", func(context.Context) error {
			_, _, err := e.tryKubectl(managed, "create", "--dry-run=server", "-f", "-")
			return err
		})
	}
	e := newTest(t)
	t.Run("the caBundle is taken out", func(*testing.T) {
		e.kubectl("", "patch", "mutatingwebhookconfiguration", harness.Configuration, "--type=json",
			"-p", `[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`)
		works(e)
	})
	t.Run("the guard's caBundle is taken out", func(t *testing.T) {
		e := newTest(t)
		e.formed()
		e.kubectl("", "patch", "validatingwebhookconfiguration", harness.Configuration, "--type=json",
			"-p", `[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`)
		e.guarded("demo")
	})
	newSecret := func(t *testing.T) {
		t.Helper()
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: "h2o-webhook-tls"}}
		if err := cluster.Client.Delete(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		e.eventually("another secret", func(ctx context.Context) error {
			return cluster.Client.Get(ctx, client.ObjectKeyFromObject(secret), &corev1.Secret{})
		})
	}
	t.Run("the secret is deleted", func(t *testing.T) {
		newSecret(t)
		works(e)
	})
	t.Run("somebody writes rubbish into the secret", func(*testing.T) {
		e.kubectl("", "-n", harness.Namespace, "patch", "secret", "h2o-webhook-tls", "--type=merge", "-p", `{"data":{"tls.crt":"b29wcw=="}}`)
		works(e)
	})
	t.Run("another secret where nobody wants the guard", func(t *testing.T) {
		e.kubectl("", "delete", "validatingwebhookconfiguration", harness.Configuration)
		newSecret(t)
		works(e)
		e.install(e.uninstall()) // with the guard
	})
}
