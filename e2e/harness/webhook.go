package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	// Namespace is where the product is installed.
	Namespace = "h2o-webhook-system"
	// Configuration is the name of its webhook configurations.
	Configuration = "h2o-webhook"
	accountName   = "h2o-webhook"
	readyLimit    = time.Minute
)

// Webhook is the product's binary, running outside of the cluster but with the
// rights that config/base gives to it.
type Webhook struct {
	// Log is the path of what it wrote.
	Log string
	// Metrics is the URL of its metrics.
	Metrics string

	cluster *Cluster
	program string
	args    []string
	ready   string
	process *exec.Cmd
	exited  chan struct{}
}

// Install builds the webhook, gives it its service account and rights, and
// registers it with the API server under a loopback address.
func (c *Cluster) Install(ctx context.Context, out io.Writer) (*Webhook, error) {
	w := &Webhook{cluster: c, program: filepath.Join(c.dir, "h2o-webhook"), Log: filepath.Join(c.dir, "h2o-webhook.log")}
	if err := goBuild(ctx, out, c.root, w.program, "./cmd/h2o-webhook"); err != nil {
		return nil, err
	}
	if err := c.createNamespace(ctx); err != nil {
		return nil, err
	}
	for _, file := range []string{"serviceaccount.yaml", "rbac.yaml", "confinement.yaml"} {
		if _, _, err := c.RunKubectl(ctx, "", "apply", "-f", filepath.Join(c.root, "config", "base", file)); err != nil {
			return nil, err
		}
	}
	kubeconfig, err := c.accountKubeconfig(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	w.Metrics = fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[1])
	w.ready = fmt.Sprintf("http://127.0.0.1:%d/readyz", ports[2])
	w.args = []string{
		"serve", "--kubeconfig", kubeconfig, "--namespace", Namespace, "--cluster-domain", "cluster.local",
		"--webhook-host", "127.0.0.1", "--webhook-port", strconv.Itoa(ports[0]),
		"--metrics-address", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--health-address", fmt.Sprintf("127.0.0.1:%d", ports[2]),
		"--log-format", "text", "--drain", "0s",
	}
	return w, c.Register(ctx, fmt.Sprintf("https://127.0.0.1:%d", ports[0]))
}

func (c *Cluster) createNamespace(ctx context.Context) error {
	err := c.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("cannot make namespace %s: %w", Namespace, err)
	}
	return nil
}

// Register writes the webhook configurations of config/base, with a URL in place
// of the Service that a control plane without nodes cannot reach.
func (c *Cluster) Register(ctx context.Context, server string) error {
	mutating, validating := configurations()
	for file, configuration := range map[string]client.Object{"webhook.yaml": mutating, "guard.yaml": validating} {
		text, err := os.ReadFile(filepath.Join(c.root, "config", "base", file))
		if err != nil {
			return fmt.Errorf("cannot register the webhook: %w", err)
		}
		if err := yaml.UnmarshalStrict(text, configuration); err != nil {
			return fmt.Errorf("cannot register the webhook: %w", err)
		}
	}
	for i := range mutating.Webhooks {
		callBy(&mutating.Webhooks[i].ClientConfig, server)
	}
	for i := range validating.Webhooks {
		callBy(&validating.Webhooks[i].ClientConfig, server)
	}
	for _, configuration := range []client.Object{mutating, validating} {
		if err := c.Client.Create(ctx, configuration); err != nil {
			return fmt.Errorf("cannot register the webhook: %w", err)
		}
	}
	return nil
}

// configurations gives the product's two webhook configurations by their names.
func configurations() (*admissionregistrationv1.MutatingWebhookConfiguration, *admissionregistrationv1.ValidatingWebhookConfiguration) {
	named := metav1.ObjectMeta{Name: Configuration}
	return &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: named}, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: named}
}

// callBy has a webhook called by its server's URL.
func callBy(call *admissionregistrationv1.WebhookClientConfig, server string) {
	url := server + *call.Service.Path
	*call = admissionregistrationv1.WebhookClientConfig{URL: &url}
}

// accountKubeconfig makes a kubeconfig with a token of the product's account.
func (c *Cluster) accountKubeconfig(ctx context.Context) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: accountName}}
	token := &authenticationv1.TokenRequest{}
	if err := c.Client.SubResource("token").Create(ctx, account, token); err != nil {
		return "", fmt.Errorf("cannot get a token: %w", err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["cluster"] = &clientcmdapi.Cluster{Server: c.Config.Host, CertificateAuthorityData: c.Config.CAData}
	config.AuthInfos[accountName] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["cluster"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: accountName}
	config.CurrentContext = "cluster"
	path := filepath.Join(c.dir, "webhook.kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("cannot write the webhook's kubeconfig: %w", err)
	}
	return path, nil
}

// Start runs the webhook until Stop and waits until it is ready and trusted.
func (w *Webhook) Start(ctx context.Context, extra ...string) error {
	log, err := os.OpenFile(w.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make the webhook's log: %w", err)
	}
	defer log.Close()
	process := exec.Command(w.program, append(w.args, extra...)...) //nolint:noctx // it is stopped by a signal
	process.Stdout, process.Stderr, process.SysProcAttr = log, log, dieWithParent()
	if err := startChild(process); err != nil {
		return fmt.Errorf("cannot start the webhook: %w", err)
	}
	w.process, w.exited = process, make(chan struct{})
	go func(exited chan struct{}) {
		_ = process.Wait() // how it ended is in its log
		close(exited)
	}(w.exited)
	if err := Poll(ctx, readyLimit, w.isReady); err != nil {
		return fmt.Errorf("the webhook is not ready: %w\n%s", err, w.LogTail())
	}
	return Poll(ctx, readyLimit, w.isTrusted)
}

func (w *Webhook) isReady(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.ready, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz answers %s", response.Status)
	}
	return nil
}

// isTrusted proves that the API server really calls the webhook: it learns of a
// new configuration a moment after it was written.
func (w *Webhook) isTrusted(ctx context.Context) error {
	manifest := `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"ready","namespace":"default","labels":{"h2o.ai/cluster":"true"}},
"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"h2o","image":"h2o"}]}}}}`
	out, _, err := w.cluster.RunKubectl(ctx, manifest, "create", "--dry-run=server", "-o", "yaml", "-f", "-")
	if err == nil && !strings.Contains(out, "h2o.ai/injected") {
		return errors.New("the API server does not call the webhook yet")
	}
	return err
}

// Stop asks the webhook to end and waits for it.
func (w *Webhook) Stop() {
	if w.process == nil {
		return
	}
	_ = w.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.exited:
	case <-time.After(30 * time.Second):
		_ = w.process.Process.Kill()
		<-w.exited
	}
	w.process = nil
}

// PID is the process that Start started.
func (w *Webhook) PID() int { return w.process.Process.Pid }

// Running says whether Start was called and Stop was not.
func (w *Webhook) Running() bool { return w.process != nil }

// LogTail gives the last lines that the webhook wrote.
func (w *Webhook) LogTail() string {
	text, err := os.ReadFile(w.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// Unregister takes the webhook configurations away, as if it were not installed.
func (c *Cluster) Unregister(ctx context.Context) error {
	mutating, validating := configurations()
	return errors.Join(client.IgnoreNotFound(c.Client.Delete(ctx, mutating)), client.IgnoreNotFound(c.Client.Delete(ctx, validating)))
}

func freePorts(ctx context.Context, n int) ([]int, error) {
	var listen net.ListenConfig
	found := make([]int, 0, n)
	for range n {
		listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		defer listener.Close() // after the last is found, so that all differ
		found = append(found, listener.Addr().(*net.TCPAddr).Port)
	}
	return found, nil
}
