// Package proto holds the protocol definitions of brokerd; the generated Go code lies beside them. It contains no code itself.
package proto

//go:generate protoc -I .. --go_out=.. --go_opt=paths=source_relative proto/meta/v1/entity.proto proto/meta/v1/command.proto proto/meta/v1/snapshot.proto proto/meta/v1/forward.proto
//go:generate protoc -I .. --go_out=.. --go_opt=paths=source_relative --go-grpc_out=.. --go-grpc_opt=paths=source_relative proto/peer/v1/peer.proto proto/peer/v1/membership.proto
