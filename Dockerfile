# dlm as an image: one static binary, no shell, no Python. Used by the projects'
# compose.yaml. Without a Python package client in it, a named base comes from
# the Hub only; where that cannot be reached, mount a base that you have.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/dlm ./cmd/dlm && mkdir /out/cache

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/dlm /usr/local/bin/dlm
# Whoever runs the container may write here; a new volume takes the mode over.
COPY --from=build --chmod=777 /out/cache /cache
ENV XDG_CACHE_HOME=/cache
WORKDIR /project
ENTRYPOINT ["/usr/local/bin/dlm"]
CMD ["--help"]
