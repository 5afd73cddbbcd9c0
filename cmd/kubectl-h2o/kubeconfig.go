package main

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeconfig finds the namespace that kubectl would use. No server is asked, so
// there are no other flags of kubectl's, and none of the packages behind them.
type kubeconfig struct {
	namespace, context, file string
}

func (k *kubeconfig) addFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&k.namespace, "namespace", "n", "", "namespace of objects that name none: names are made from it, it is not printed")
	flags.StringVar(&k.context, "context", "", "context of the kubeconfig whose namespace is used without -n")
	flags.StringVar(&k.file, "kubeconfig", "", "path of the kubeconfig whose namespace is used without -n")
}

// resolve gives -n, else the namespace of the kubeconfig's context, else "default".
func (k *kubeconfig) resolve() (string, error) {
	if problems := validation.IsDNS1123Label(k.namespace); k.namespace != "" && len(problems) > 0 {
		return "", usagef("-n %q is no name of a namespace: want at most 63 lower-case letters, digits and dashes", k.namespace)
	}
	if k.namespace != "" {
		return k.namespace, nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.file
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{
		CurrentContext:  k.context,
		ClusterDefaults: clientcmd.ClusterDefaults, // as kubectl: no kubeconfig at all is no error
	})
	namespace, _, err := config.Namespace()
	if err != nil {
		return "", fmt.Errorf("cannot find the namespace in the kubeconfig, give -n: %w", err)
	}
	return namespace, nil
}
