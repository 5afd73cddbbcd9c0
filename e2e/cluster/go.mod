module github.com/h2o-webhook/h2o-webhook/e2e/cluster

go 1.26.0
