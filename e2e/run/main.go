// Command run shows the product's main job on a real control plane: a plain
// labelled StatefulSet is applied, and the cluster holds a correct H2O cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

const sample = "config/samples/plain.yaml"

func main() {
	once := flag.Bool("once", false, "show everything, check it, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, *once)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted && !*once:
		fmt.Println("\nstopped; nothing is left behind")
	case err != nil:
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, once bool) (err error) {
	start := time.Now()
	title("Starting a real control plane: etcd, kube-apiserver, kube-controller-manager")
	cluster, err := harness.Start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	title("Starting the webhook against it, with the rights of its service account only")
	server, err := cluster.Install(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	defer server.Stop()
	d := demo{ctx, cluster}
	if err := d.show(); err != nil {
		return fmt.Errorf("%w\nthe webhook's log:\n%s", err, server.LogTail())
	}
	fmt.Printf("\nAll of it is as it must be, %s after the start.\n", time.Since(start).Round(time.Second))
	if once {
		return nil
	}
	title("It stays until Ctrl-C. To look around:")
	fmt.Printf("  export KUBECONFIG=%s\n  alias kubectl=%s\n  kubectl get statefulsets,services,pods,events\n", cluster.Kubeconfig, cluster.Kubectl)
	fmt.Printf("  the webhook's log: %s\n  its metrics: %s\n", server.Log, server.Metrics)
	<-ctx.Done()
	return nil
}

func title(text string) { fmt.Printf("\n── %s\n", text) }

// demo applies the sample with a real client and shows what became of it.
type demo struct {
	ctx     context.Context
	cluster *harness.Cluster
}

func (d demo) kubectl(args ...string) (string, error) {
	out, problems, err := d.cluster.RunKubectl(d.ctx, "", args...)
	fmt.Fprint(os.Stderr, problems)
	return out, err
}

func (d demo) show() error {
	title("What the user writes: " + sample)
	text, err := os.ReadFile(sample)
	if err != nil {
		return err
	}
	fmt.Print(string(text))
	without, err := d.withoutUs(string(text))
	if err != nil {
		return err
	}
	title("kubectl apply -f " + sample)
	out, err := d.kubectl("apply", "-f", sample)
	if err != nil {
		return err
	}
	fmt.Print(out)
	set, err := d.check()
	if err != nil {
		return err
	}
	with, err := plainYAML(set)
	if err != nil {
		return err
	}
	title("What the cluster holds: the difference to what it would hold without the webhook")
	fmt.Print(udiff.Unified("without the webhook", "with it", without, with))
	return d.showObjects()
}

func (d demo) showObjects() error {
	title("The Services")
	out, err := d.kubectl("get", "services", "-l", "app.kubernetes.io/managed-by=h2o-webhook", "-o",
		`custom-columns=NAME:.metadata.name,CLUSTER-IP:.spec.clusterIP,PORT:.spec.ports[0].port,SELECTOR:.spec.selector,NOT-READY-TOO:.spec.publishNotReadyAddresses,OWNER:.metadata.ownerReferences[0].name`)
	if err != nil {
		return err
	}
	fmt.Print(out)
	title("The pods that the StatefulSet controller made, with their H2O variables")
	out, err = d.kubectl("get", "pods", "-o", `go-template={{range .items}}{{.metadata.name}}{{range .spec.containers}}{{range .env}}
    {{.name}}={{.value}}{{end}}{{end}}
{{end}}`)
	fmt.Print(out)
	return err
}
