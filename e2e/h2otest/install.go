package h2otest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// installLimit is how long the webhook may take to be there.
const installLimit = 2 * time.Minute

// install installs the webhook as its users do, or brings the one that is there
// to what it is now, and waits until the API server calls it.
func (c *Cluster) install(ctx context.Context) error {
	folder, err := config()
	if err != nil {
		return err
	}
	if c.options.Webhook != imageWebhook || len(c.options.Args) > 0 {
		overlay, err := c.overlay(folder)
		if err != nil {
			return err
		}
		c.undo = append(c.undo, func(context.Context) error { return os.RemoveAll(overlay) })
		folder = overlay
	}
	before, err := c.installed(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "installing the webhook: kubectl apply -k config/default\n")
	if _, _, err := c.RunKubectl(ctx, "", "apply", "-k", folder); err != nil {
		return err
	}
	switch {
	case !before && !c.options.Keep:
		c.undo = append(c.undo, func(ctx context.Context) error { return c.uninstall(ctx, folder) })
	case before && c.newImages: // the webhook's may be another one of the same name
		if err := c.deployment(ctx, "restart"); err != nil {
			return err
		}
	}
	if err := c.deployment(ctx, "status", "--timeout="+installLimit.String()); err != nil {
		return errors.Join(err, errors.New(c.webhookReport(ctx)))
	}
	return harness.Poll(ctx, installLimit, c.isCalled)
}

func (c *Cluster) installed(ctx context.Context) (bool, error) {
	err := c.Client.Get(ctx, client.ObjectKey{Name: harness.Namespace}, &corev1.Namespace{})
	return err == nil, client.IgnoreNotFound(err)
}

// uninstall takes the webhook away from a cluster of somebody else's; one of our
// own goes as a whole.
func (c *Cluster) uninstall(ctx context.Context, folder string) error {
	if c.options.Kubeconfig == "" {
		return nil
	}
	_, _, err := c.RunKubectl(ctx, "", "delete", "-k", folder, "--ignore-not-found")
	return err
}

// deployment runs kubectl rollout for the webhook.
func (c *Cluster) deployment(ctx context.Context, command string, args ...string) error {
	_, _, err := c.RunKubectl(ctx, "", append([]string{"-n", harness.Namespace, "rollout", command, "deployment/h2o-webhook"}, args...)...)
	return err
}

// ScaleWebhook sets the number of the webhook's replicas and waits until there
// are so many.
func (c *Cluster) ScaleWebhook(ctx context.Context, replicas int) error {
	if _, _, err := c.RunKubectl(ctx, "", "-n", harness.Namespace, "scale", "deployment/h2o-webhook", fmt.Sprintf("--replicas=%d", replicas)); err != nil {
		return err
	}
	return harness.Poll(ctx, installLimit, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := c.Client.List(ctx, &pods, client.InNamespace(harness.Namespace)); err != nil {
			return err
		}
		ready := 0
		for i := range pods.Items {
			if Ready(&pods.Items[i]) {
				ready++
			}
		}
		if ready != replicas || len(pods.Items) != replicas {
			return fmt.Errorf("%d of %d pods of the webhook are ready, want %d", ready, len(pods.Items), replicas)
		}
		return nil
	})
}

// isCalled proves that the API server calls the webhook: it learns of a new
// configuration, or of a new address, a moment after it was written.
func (c *Cluster) isCalled(ctx context.Context) error {
	out, _, err := c.RunKubectl(ctx, c.Plain("ready", 1), "create", "-n", "default", "--dry-run=server", "-o", "yaml", "-f", "-")
	if err == nil && !strings.Contains(out, "h2o.ai/injected") {
		return errors.New("the API server does not call the webhook yet")
	}
	return err
}

// WaitCalled waits until the API server calls the webhook.
func (c *Cluster) WaitCalled(ctx context.Context) error {
	return harness.Poll(ctx, installLimit, c.isCalled)
}

// overlay writes a kustomization over config/default with another image and more
// arguments.
func (c *Cluster) overlay(base string) (string, error) {
	folder, err := os.MkdirTemp("", "h2o-webhook-overlay-")
	if err != nil {
		return "", fmt.Errorf("cannot make an overlay: %w", err)
	}
	resolved, err := filepath.EvalSymlinks(folder) // kustomize compares real paths
	if err != nil {
		return "", fmt.Errorf("cannot make an overlay: %w", err)
	}
	relative, err := filepath.Rel(resolved, base)
	if err != nil {
		return "", fmt.Errorf("cannot make an overlay: %w", err)
	}
	var patch []map[string]any
	for _, arg := range c.options.Args {
		patch = append(patch, map[string]any{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": arg})
	}
	kustomization := map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
		"resources": []string{relative}, "images": []any{imageEntry(c.options.Webhook)},
	}
	if len(patch) > 0 {
		text, err := json.Marshal(patch)
		if err != nil {
			return "", fmt.Errorf("cannot make an overlay: %w", err)
		}
		kustomization["patches"] = []any{map[string]any{"target": map[string]string{"kind": "Deployment", "name": "h2o-webhook"}, "patch": string(text)}}
	}
	text, err := json.Marshal(kustomization) // JSON is YAML too
	if err != nil {
		return "", fmt.Errorf("cannot make an overlay: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), text, 0o600); err != nil {
		return "", fmt.Errorf("cannot make an overlay: %w", err)
	}
	return folder, nil
}

// imageEntry has kustomize take another image for the webhook's.
func imageEntry(image string) map[string]string {
	if name, digest, found := strings.Cut(image, "@"); found {
		return map[string]string{"name": "h2o-webhook", "newName": name, "digest": digest}
	}
	colon := strings.LastIndex(image, ":")
	if colon < strings.LastIndex(image, "/") || colon < 0 { // a registry's port, or no tag at all
		return map[string]string{"name": "h2o-webhook", "newName": image, "newTag": "latest"}
	}
	return map[string]string{"name": "h2o-webhook", "newName": image[:colon], "newTag": image[colon+1:]}
}

// ignoreGone takes the error of something that was to go.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
