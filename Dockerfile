# The image of the webhook: one static program and nothing else.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t h2o-webhook:dev .
#
# BASE needs nothing: the certificate of the API server is mounted by Kubernetes.
ARG GO=golang:1.26
ARG BASE=scratch

FROM ${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/h2o-webhook ./cmd/h2o-webhook

FROM ${BASE}
COPY --from=build /out/h2o-webhook /h2o-webhook
USER 65532:65532
EXPOSE 9443 8080 8081
ENTRYPOINT ["/h2o-webhook"]
CMD ["serve"]
