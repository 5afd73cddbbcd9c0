// Package h2o proves the product with real H2O on a real Kubernetes. Its tests
// have the build tag h2o: they need Linux and root or a cluster that KUBECONFIG
// names, some GiB of memory and minutes. `make e2e` runs them.
package h2o
