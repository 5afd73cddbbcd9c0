package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// options are the flags of serve.
type options struct {
	host           string
	port           int
	metricsAddress string
	healthAddress  string
	logFormat      string
	logLevel       string
	clusterDomain  string
	namespace      string
	serviceName    string
	secretName     string
	configuration  string
	leaderElect    bool
	drain          time.Duration
	dnsTTL         time.Duration
	restartBackoff time.Duration
}

func (o *options) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.host, "webhook-host", "", "address to listen on; when it is set, the API server is meant to call this address instead of the Service")
	flags.IntVar(&o.port, "webhook-port", 9443, "TCP port of the webhook")
	flags.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of the metrics; 0 for none")
	flags.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz; 0 for none")
	flags.StringVar(&o.logFormat, "log-format", "json", "json or text")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info or error")
	flags.StringVar(&o.clusterDomain, "cluster-domain", "", "DNS suffix of the Kubernetes cluster (default: read from "+resolvConf+", else "+policy.Defaults().ClusterDomain+")")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "own namespace, of Secret and lease (default: $POD_NAMESPACE)")
	flags.StringVar(&o.serviceName, "service-name", "h2o-webhook", "own Service, through which the API server calls")
	flags.StringVar(&o.secretName, "secret-name", "h2o-webhook-tls", "Secret that keeps the certificate")
	flags.StringVar(&o.configuration, "webhook-configuration", "h2o-webhook", "name of the mutating and of the validating webhook configuration whose caBundle is set")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "let only one replica run the reconcilers")
	flags.DurationVar(&o.drain, "drain", 5*time.Second, "how long to go on serving after a stop signal, while the cluster learns that we are not ready")
	flags.DurationVar(&o.dnsTTL, "dns-ttl", 30*time.Second, "how long a DNS answer may be cached in the cluster; a cluster that is restarted while it forms waits as long, so that no new node finds an old one")
	flags.DurationVar(&o.restartBackoff, "restart-backoff", 10*time.Second, "how long the second restart of a cluster that nobody asked for waits after the first; doubled each time, 5m at most")
}

// complete fills in what is read from the surroundings and checks the rest.
func (o *options) complete() error {
	if o.clusterDomain == "" {
		o.clusterDomain = clusterDomain()
	}
	var problems []error
	refuse := func(flag, value, want string) {
		problems = append(problems, fmt.Errorf("flag --%s: %q is not allowed: want %s", flag, value, want))
	}
	if o.port < 1 || o.port > 65535 {
		refuse("webhook-port", strconv.Itoa(o.port), "1 to 65535")
	}
	if o.logFormat != "json" && o.logFormat != "text" {
		refuse("log-format", o.logFormat, "json or text")
	}
	if _, ok := logLevels[o.logLevel]; !ok {
		refuse("log-level", o.logLevel, "debug, info or error")
	}
	if len(validation.IsDNS1123Subdomain(o.clusterDomain)) > 0 {
		refuse("cluster-domain", o.clusterDomain, "a DNS name such as "+policy.Defaults().ClusterDomain)
	}
	if o.host != "" && net.ParseIP(o.host) == nil {
		refuse("webhook-host", o.host, "an IP address")
	}
	if len(validation.IsDNS1123Label(o.namespace)) > 0 {
		refuse("namespace", o.namespace, "the namespace that this server runs in, or $POD_NAMESPACE set")
	}
	if o.drain < 0 {
		refuse("drain", o.drain.String(), "a duration that is not negative")
	}
	if o.dnsTTL < 0 {
		refuse("dns-ttl", o.dnsTTL.String(), "a duration that is not negative")
	}
	if o.restartBackoff < 0 {
		refuse("restart-backoff", o.restartBackoff.String(), "a duration that is not negative")
	}
	return errors.Join(problems...)
}

// hosts are what the certificate must be good for.
func (o *options) hosts() []string {
	service := o.serviceName + "." + o.namespace
	hosts := []string{service + ".svc", service, service + ".svc." + o.clusterDomain}
	if o.host != "" {
		hosts = append(hosts, o.host)
	}
	return hosts
}

func (o *options) settings() policy.Settings {
	s := policy.Defaults()
	s.ClusterDomain = o.clusterDomain
	return s
}

func (o *options) limits() life.Limits {
	return life.Limits{DNSTTL: o.dnsTTL, Backoff: o.restartBackoff}
}

const resolvConf = "/etc/resolv.conf"

// clusterDomain reads the DNS suffix that the kubelet gave to this pod.
func clusterDomain() string {
	text, err := os.ReadFile(resolvConf)
	if err != nil {
		return policy.Defaults().ClusterDomain
	}
	return clusterDomainIn(string(text))
}

// clusterDomainIn finds the suffix in a resolv.conf: the kubelet writes a search
// line with <namespace>.svc.<domain>, svc.<domain> and <domain>.
// Source: k8s.io/kubernetes pkg/kubelet/network/dns.
func clusterDomainIn(text string) string {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "search" {
			continue
		}
		for _, domain := range words[1:] {
			if rest, ok := strings.CutPrefix(strings.TrimSuffix(domain, "."), "svc."); ok && rest != "" {
				return rest
			}
		}
	}
	return policy.Defaults().ClusterDomain
}
