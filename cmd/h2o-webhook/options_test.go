package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func parsed(t *testing.T, args ...string) *options {
	t.Helper()
	o := &options{}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	o.bind(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestComplete(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string // a part of the error, empty for none
	}{
		"a namespace is enough":       {[]string{"--namespace=system"}, ""},
		"no namespace":                {[]string{"--namespace="}, `flag --namespace: ""`},
		"a port out of range":         {[]string{"--namespace=a", "--webhook-port=70000"}, `flag --webhook-port: "70000" is not allowed: want 1 to 65535`},
		"a format that is none":       {[]string{"--namespace=a", "--log-format=xml"}, "want json or text"},
		"a level that is none":        {[]string{"--namespace=a", "--log-level=loud"}, "want debug, info or error"},
		"a domain with a space":       {[]string{"--namespace=a", "--cluster-domain=a b"}, "flag --cluster-domain"},
		"a host that is no address":   {[]string{"--namespace=a", "--webhook-host=localhost"}, "want an IP address"},
		"a negative drain":            {[]string{"--namespace=a", "--drain=-1s"}, "flag --drain"},
		"two problems are both named": {[]string{"--namespace=", "--log-level=loud"}, "flag --namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			err := parsed(t, test.args...).complete()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %q, got %v", test.want, err)
			}
		})
	}
}

func TestClusterDomainIn(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a pod's":               {"search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n", "cluster.local"},
		"another domain":        {"nameserver 10.0.0.1\nsearch ns.svc.corp.example svc.corp.example corp.example", "corp.example"},
		"with dots at the ends": {"search ns.svc.a.b. svc.a.b. a.b.", "a.b"},
		"a workstation's":       {"search home.example\nnameserver 192.0.2.1", "cluster.local"},
		"empty":                 {"", "cluster.local"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := clusterDomainIn(test.text); got != test.want {
				t.Errorf("want %q, got %q", test.want, got)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	o := parsed(t, "--namespace=system", "--cluster-domain=corp.example", "--webhook-host=127.0.0.1")
	want := []string{"h2o-webhook.system.svc", "h2o-webhook.system", "h2o-webhook.system.svc.corp.example", "127.0.0.1"}
	if diff := cmp.Diff(want, o.hosts()); diff != "" {
		t.Error(diff)
	}
}
