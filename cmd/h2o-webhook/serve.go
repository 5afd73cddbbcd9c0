package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/h2o-webhook/h2o-webhook/certs"
	"github.com/h2o-webhook/h2o-webhook/webhook"
	"github.com/h2o-webhook/h2o-webhook/webhook/lifecycle"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// leaderLease is the lease for which the replicas compete.
const leaderLease = "h2o-webhook-leader"

func newServeCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the webhook and run the reconcilers",
		Long: `Serve the admission webhook on every replica, and run the reconcilers, which
make the Services of each cluster, on the elected one.

The API server is found as kubectl finds it: flag --kubeconfig, $KUBECONFIG, the
pod's own service account, ~/.kube/config.`,
		Example: `  # in the cluster
  h2o-webhook serve
  # on a workstation, called by its address
  h2o-webhook serve --webhook-host 127.0.0.1 --namespace default --leader-elect=false --log-format text`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			return serve(cmd.Context(), o)
		},
	}
	o.bind(cmd.Flags())
	cmd.Flags().AddGoFlag(flag.CommandLine.Lookup(config.KubeconfigFlagName))
	return cmd
}

// serve runs until the context ends, then drains.
func serve(ctx context.Context, o options) error {
	log := newLog(o)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	api, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("cannot find the API server: %w", err)
	}
	api.DisableCompression = true // the server is near, and the buffers take a megabyte
	certOptions := certs.Options{Namespace: o.namespace, SecretName: o.secretName, Configuration: o.configuration, Hosts: o.hosts()}
	late := &lateSource{}
	mgr, err := ctrl.NewManager(api, managerOptions(o, certOptions, late))
	if err != nil {
		return fmt.Errorf("cannot make the manager: %w", err)
	}
	source := certs.NewSelfSigned(certOptions, mgr.GetClient(), mgr.GetCache(), log.WithName("certs"))
	late.Source = source
	if err := mgr.Add(source); err != nil {
		return fmt.Errorf("cannot add the certificates: %w", err)
	}
	settings := o.settings
	if err := addDoors(ctx, mgr, settings, log.WithName("admission")); err != nil {
		return err
	}
	if err := lifecycle.SetupWithManager(ctx, mgr, lifecycle.Options{Settings: settings, Limits: o.limits()}); err != nil {
		return fmt.Errorf("cannot set up the reconcilers: %w", err)
	}
	draining, drained := drain(ctx, o.drain, log)
	if err := addChecks(mgr, source, draining); err != nil {
		return err
	}
	log.Info("starting", "version", versionText(), "clusterDomain", o.clusterDomain)
	if err := mgr.Start(drained); err != nil {
		return fmt.Errorf("cannot go on: %w", err)
	}
	return nil
}

// addDoors makes the server answer the API server's admission requests.
func addDoors(ctx context.Context, mgr ctrl.Manager, settings func() policy.Settings, log logr.Logger) error {
	counts := webhook.NewMetrics(metrics.Registry)
	find, err := lifecycle.Sets(ctx, mgr.GetCache())
	if err != nil {
		return fmt.Errorf("cannot add the scale guard: %w", err)
	}
	for path, door := range map[string]webhook.Decider{
		webhook.Path:      &webhook.Handler{Settings: settings, Log: log, Metrics: counts},
		webhook.GuardPath: &webhook.Guard{Find: find, Settings: settings, Log: log, Metrics: counts},
	} {
		mgr.GetWebhookServer().Register(path, webhook.Serve(door, log))
	}
	return nil
}

// lateSource stands for the source while the manager, which it needs, is made.
type lateSource struct{ certs.Source }

func managerOptions(o options, certOptions certs.Options, source certs.Source) ctrl.Options {
	byObject := map[client.Object]cache.ByObject{}
	maps.Copy(byObject, certOptions.CacheByObject())
	maps.Copy(byObject, lifecycle.CacheByObject())
	grace := 20 * time.Second
	return ctrl.Options{
		Scheme:                        newScheme(),
		MapperProvider:                func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return newMapper(), nil },
		Cache:                         cache.Options{ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields()},
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.healthAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              leaderLease,
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
		WebhookServer: ctrlwebhook.NewServer(ctrlwebhook.Options{
			Host: o.host, Port: o.port, TLSOpts: []func(*tls.Config){certs.Configure(source)},
		}),
	}
}

// addChecks makes the server live while it runs, and ready while a trusted
// certificate is served, the caches are synced, and it is not about to stop.
func addChecks(mgr ctrl.Manager, source certs.Source, draining *atomic.Bool) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("cannot add the health check: %w", err)
	}
	ready := func(r *http.Request) error {
		if draining.Load() {
			return fmt.Errorf("stopping")
		}
		if !mgr.GetCache().WaitForCacheSync(r.Context()) {
			return fmt.Errorf("caches are not synced")
		}
		return source.Ready(r)
	}
	if err := mgr.AddReadyzCheck("serving", ready); err != nil {
		return fmt.Errorf("cannot add the readiness check: %w", err)
	}
	return nil
}

// drain gives a context that ends a while after ctx does, and says meanwhile
// that it will.
func drain(ctx context.Context, delay time.Duration, log logr.Logger) (*atomic.Bool, context.Context) {
	var draining atomic.Bool
	drained, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer cancel()
		<-ctx.Done()
		draining.Store(true)
		log.Info("stopping", "after", delay.String())
		time.Sleep(delay) // others learn of our end by polling, so there is nothing to wait on
	}()
	return &draining, drained
}

var logLevels = map[string]zapcore.Level{"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "error": zapcore.ErrorLevel}

func newLog(o options) logr.Logger {
	level := logLevels[o.logLevel]
	encoder := zap.JSONEncoder(isoTime)
	if o.logFormat == "text" {
		encoder = zap.ConsoleEncoder(isoTime)
	}
	return zap.New(zap.Level(level), encoder, zap.StacktraceLevel(zapcore.PanicLevel))
}

func isoTime(c *zapcore.EncoderConfig) { c.EncodeTime = zapcore.RFC3339NanoTimeEncoder }
