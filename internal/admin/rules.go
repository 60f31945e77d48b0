package admin

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// rule says who may use a method (SEMANTICS 15.4).
type rule struct {
	tag tag // that the user must have
	// free is set for methods that are about one vhost, in which the user must have a permission entry unless he has this tag. Lists
	// of all vhosts show those in which he has one. What he may do there is checked as for his connections.
	free tag
	// change says that the method changes something, so that it is logged.
	change bool
}

const prefix = "/brokerd.admin.v1."

// rules is everything that may be asked for. Handlers narrow down what needs more than a tag and a vhost: one's own connections, the
// vhosts that one may see, operator policies, global parameters.
var rules = map[string]rule{
	prefix + "ClusterService/GetClusterStatus": {tag: monitoring},
	prefix + "ClusterService/ListNodes":        {tag: monitoring},
	prefix + "ClusterService/JoinCluster":      {tag: administrator, change: true},
	prefix + "ClusterService/LeaveCluster":     {tag: administrator, change: true},
	prefix + "ClusterService/RemoveNode":       {tag: administrator, change: true},
	prefix + "ClusterService/TransferLeader":   {tag: administrator, change: true},
	prefix + "ClusterService/RebalanceQueues":  {tag: administrator, change: true},

	prefix + "NodeService/GetNodeStatus":  {tag: monitoring},
	prefix + "NodeService/DrainNode":      {tag: administrator, change: true},
	prefix + "NodeService/ResumeNode":     {tag: administrator, change: true},
	prefix + "NodeService/GetEnvironment": {tag: administrator},

	prefix + "VHostService/ListVHosts":  {tag: management},
	prefix + "VHostService/GetVHost":    {tag: management},
	prefix + "VHostService/PutVHost":    {tag: administrator, change: true},
	prefix + "VHostService/DeleteVHost": {tag: administrator, change: true},

	prefix + "UserService/ListUsers":      {tag: administrator},
	prefix + "UserService/GetUser":        {tag: administrator},
	prefix + "UserService/GetCurrentUser": {tag: anyTag},
	prefix + "UserService/PutUser":        {tag: administrator, change: true},
	prefix + "UserService/DeleteUser":     {tag: administrator, change: true},
	prefix + "UserService/SetPassword":    {tag: administrator, change: true},
	prefix + "UserService/SetUserTags":    {tag: administrator, change: true},
	prefix + "UserService/CheckPassword":  {tag: administrator},

	prefix + "PermissionService/ListPermissions":      {tag: administrator},
	prefix + "PermissionService/SetPermission":        {tag: administrator, change: true},
	prefix + "PermissionService/ClearPermission":      {tag: administrator, change: true},
	prefix + "PermissionService/ListTopicPermissions": {tag: administrator},
	prefix + "PermissionService/SetTopicPermission":   {tag: administrator, change: true},
	prefix + "PermissionService/ClearTopicPermission": {tag: administrator, change: true},

	prefix + "ExchangeService/ListExchanges":   {tag: management, free: monitoring},
	prefix + "ExchangeService/GetExchange":     {tag: management, free: monitoring},
	prefix + "ExchangeService/DeclareExchange": {tag: management, free: administrator, change: true},
	prefix + "ExchangeService/DeleteExchange":  {tag: management, free: administrator, change: true},

	prefix + "QueueService/ListQueues":      {tag: management, free: monitoring},
	prefix + "QueueService/GetQueue":        {tag: management, free: monitoring},
	prefix + "QueueService/DeclareQueue":    {tag: management, free: administrator, change: true},
	prefix + "QueueService/DeleteQueue":     {tag: management, free: administrator, change: true},
	prefix + "QueueService/PurgeQueue":      {tag: management, free: administrator, change: true},
	prefix + "QueueService/MoveQueue":       {tag: administrator, change: true},
	prefix + "QueueService/PeekMessages":    {tag: management, free: administrator},
	prefix + "QueueService/GetMessages":     {tag: management, free: administrator, change: true},
	prefix + "QueueService/RedriveMessages": {tag: management, free: administrator, change: true},

	prefix + "BindingService/ListBindings":   {tag: management, free: monitoring},
	prefix + "BindingService/DeclareBinding": {tag: management, free: administrator, change: true},
	prefix + "BindingService/DeleteBinding":  {tag: management, free: administrator, change: true},

	prefix + "PolicyService/ListPolicies":         {tag: management, free: monitoring},
	prefix + "PolicyService/GetPolicy":            {tag: management, free: monitoring},
	prefix + "PolicyService/PutPolicy":            {tag: policymaker, free: administrator, change: true},
	prefix + "PolicyService/DeletePolicy":         {tag: policymaker, free: administrator, change: true},
	prefix + "PolicyService/GetEffectiveSettings": {tag: management, free: monitoring},

	prefix + "ParameterService/ListParameters":  {tag: policymaker, free: administrator},
	prefix + "ParameterService/GetParameter":    {tag: policymaker, free: administrator},
	prefix + "ParameterService/PutParameter":    {tag: policymaker, free: administrator, change: true},
	prefix + "ParameterService/DeleteParameter": {tag: policymaker, free: administrator, change: true},

	prefix + "LimitService/ListVHostLimits":  {tag: management, free: monitoring},
	prefix + "LimitService/SetVHostLimits":   {tag: administrator, change: true},
	prefix + "LimitService/ClearVHostLimits": {tag: administrator, change: true},
	prefix + "LimitService/ListUserLimits":   {tag: management},
	prefix + "LimitService/SetUserLimits":    {tag: administrator, change: true},
	prefix + "LimitService/ClearUserLimits":  {tag: administrator, change: true},

	prefix + "ConnectionService/ListConnections":  {tag: management, free: monitoring},
	prefix + "ConnectionService/GetConnection":    {tag: management},
	prefix + "ConnectionService/CloseConnection":  {tag: management, change: true},
	prefix + "ConnectionService/CloseConnections": {tag: management, change: true},

	prefix + "ChannelService/ListChannels": {tag: management, free: monitoring},

	prefix + "ConsumerService/ListConsumers": {tag: management, free: monitoring},

	prefix + "MessageService/PublishMessage": {tag: management, free: administrator, change: true},
	prefix + "MessageService/ExplainRoute":   {tag: management, free: monitoring},
	prefix + "MessageService/TraceMessages":  {tag: administrator},

	prefix + "DefinitionService/ExportDefinitions": {tag: administrator},
	prefix + "DefinitionService/ImportDefinitions": {tag: administrator, change: true},
	prefix + "DefinitionService/DiffDefinitions":   {tag: administrator},
	prefix + "DefinitionService/ApplyDefinitions":  {tag: administrator, change: true},

	prefix + "DiagnosticService/Diagnose":    {tag: monitoring},
	prefix + "DiagnosticService/CheckHealth": {tag: monitoring},

	prefix + "WatchService/WatchEvents": {tag: monitoring},
	prefix + "WatchService/WatchRates":  {tag: monitoring},
	prefix + "WatchService/WatchLogs":   {tag: administrator},

	// Reflection tells what the source code tells.
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      {tag: anyTag},
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {tag: anyTag},
}

// open methods need no login: whoever supervises a node may ask whether it serves.
var open = map[string]bool{
	"/grpc.health.v1.Health/Check": true,
	"/grpc.health.v1.Health/Watch": true,
	"/grpc.health.v1.Health/List":  true,
}

// vhostOf returns the vhost that a request is about: its field vhost, or that of the object in it. ok is false if it names none.
func vhostOf(request any) (vhost string, ok bool) {
	m, is := request.(proto.Message)
	if !is {
		return "", false
	}
	r := m.ProtoReflect()
	if vhost, ok = vhostField(r); ok {
		return vhost, vhost != ""
	}
	fields := r.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.MessageKind || f.IsList() || f.IsMap() {
			continue
		}
		if vhost, ok := vhostField(r.Get(f).Message()); ok {
			return vhost, vhost != ""
		}
	}
	return "", false
}

func vhostField(m protoreflect.Message) (string, bool) {
	f := m.Descriptor().Fields().ByName("vhost")
	if f == nil || f.Kind() != protoreflect.StringKind {
		return "", false
	}
	return m.Get(f).String(), true
}
