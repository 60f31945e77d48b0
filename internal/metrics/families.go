package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brokerd/brokerd/amqp/deadletter"
)

// family is one figure of a node under its own name and, if it has one, RabbitMQ's.
type family struct {
	own, rabbit string // either may be empty
	labels      prometheus.Labels
	kind        prometheus.ValueType
	help        string
	value       func(*Snapshot) float64
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// Labels of RabbitMQ's global counters.
var (
	protocol  = prometheus.Labels{"protocol": "amqp091"}
	queueType = prometheus.Labels{"protocol": "amqp091", "queue_type": "rabbit_classic_queue"}
)

// families returns the table of all figures of a node but histograms and information.
func families() []family {
	list := []family{
		{"brokerd_ready", "", nil, gauge, "Whether the node serves clients.", func(s *Snapshot) float64 { return truth(s.Ready) }},
		{"brokerd_metadata_has_leader", "", nil, gauge, "Whether the metadata group has a leader, as far as this node knows.",
			func(s *Snapshot) float64 { return truth(s.MetadataHasLeader) }},
		{"brokerd_metadata_is_leader", "", nil, gauge, "Whether this node leads the metadata group.",
			func(s *Snapshot) float64 { return truth(s.MetadataLeads) }},

		{"brokerd_connections", "rabbitmq_connections", nil, gauge, "Open client connections.",
			func(s *Snapshot) float64 { return float64(s.Server.Connections) }},
		{"brokerd_connections_opened_total", "rabbitmq_connections_opened_total", nil, counter, "Client connections opened.",
			func(s *Snapshot) float64 { return float64(s.Server.ConnectionsOpened) }},
		{"brokerd_connections_closed_total", "rabbitmq_connections_closed_total", nil, counter, "Client connections closed.",
			func(s *Snapshot) float64 { return float64(s.Server.ConnectionsClosed) }},
		{"brokerd_handshakes_failed_total", "", nil, counter, "Connections that ended before they were open.",
			func(s *Snapshot) float64 { return float64(s.Server.HandshakesFailed) }},
		{"brokerd_logins_refused_total", "rabbitmq_auth_attempts_failed_total", nil, counter, "AMQP logins refused.",
			func(s *Snapshot) float64 { return float64(s.Server.LoginsRefused) }},
		{"brokerd_channels", "rabbitmq_channels", nil, gauge, "Open channels.",
			func(s *Snapshot) float64 { return float64(s.Server.Channels) }},
		{"brokerd_channels_opened_total", "rabbitmq_channels_opened_total", nil, counter, "Channels opened.",
			func(s *Snapshot) float64 { return float64(s.Server.ChannelsOpened) }},
		{"brokerd_channels_closed_total", "rabbitmq_channels_closed_total", nil, counter, "Channels closed.",
			func(s *Snapshot) float64 { return float64(s.Server.ChannelsClosed) }},
		{"brokerd_publishers", "rabbitmq_global_publishers", protocol, gauge, "Open channels that have published.",
			func(s *Snapshot) float64 { return float64(s.Server.Publishers) }},
		{"brokerd_consumers", "rabbitmq_consumers", nil, gauge, "Consumers of the queues that this node leads.",
			func(s *Snapshot) float64 { return float64(s.Queues.Consumers) }},
		{"", "rabbitmq_global_consumers", protocol, gauge, "Consumers of the queues that this node leads.",
			func(s *Snapshot) float64 { return float64(s.Queues.Consumers) }},

		{"brokerd_received_bytes_total", "", nil, counter, "Bytes of AMQP frames read from clients.",
			func(s *Snapshot) float64 { return float64(s.Server.BytesRead) }},
		{"brokerd_sent_bytes_total", "", nil, counter, "Bytes of AMQP frames written to clients.",
			func(s *Snapshot) float64 { return float64(s.Server.BytesWritten) }},
		{"brokerd_reads_total", "", nil, counter, "Reads from clients that brought frames.",
			func(s *Snapshot) float64 { return float64(s.Server.Reads) }},
		{"brokerd_writes_total", "", nil, counter, "Writes of frames to clients.",
			func(s *Snapshot) float64 { return float64(s.Server.Writes) }},

		{"brokerd_queues", "rabbitmq_queues", nil, gauge, "Queues that this node leads.",
			func(s *Snapshot) float64 { return float64(s.Queues.Queues) }},
		{"brokerd_queues_declared_total", "rabbitmq_queues_declared_total", nil, counter, "Declarations of queues, new or not.",
			func(s *Snapshot) float64 { return float64(s.Server.QueuesDeclared) }},
		{"brokerd_queues_created_total", "rabbitmq_queues_created_total", nil, counter, "Queues that were made on this node.",
			func(s *Snapshot) float64 { return float64(s.Broker.QueuesCreated) }},
		{"brokerd_queues_deleted_total", "rabbitmq_queues_deleted_total", nil, counter, "Queues that were deleted on this node.",
			func(s *Snapshot) float64 { return float64(s.Broker.QueuesDeleted) }},
		{"brokerd_queue_messages", "rabbitmq_queue_messages", nil, gauge, "Messages in the queues that this node leads.",
			func(s *Snapshot) float64 { return float64(s.Queues.Ready + s.Queues.Unacked) }},
		{"brokerd_queue_messages_ready", "rabbitmq_queue_messages_ready", nil, gauge, "Messages ready to be delivered.",
			func(s *Snapshot) float64 { return float64(s.Queues.Ready) }},
		{"brokerd_queue_messages_unacked", "rabbitmq_queue_messages_unacked", nil, gauge, "Messages delivered and not acknowledged yet.",
			func(s *Snapshot) float64 { return float64(s.Queues.Unacked) }},

		{"brokerd_cluster_vhosts", "", nil, gauge, "Virtual hosts of the cluster.", func(s *Snapshot) float64 { return float64(s.VHosts) }},
		{"brokerd_cluster_users", "", nil, gauge, "Users of the cluster.", func(s *Snapshot) float64 { return float64(s.Users) }},
		{"brokerd_cluster_exchanges", "", nil, gauge, "Exchanges of the cluster.",
			func(s *Snapshot) float64 { return float64(s.Exchanges) }},
		{"brokerd_cluster_queues", "", nil, gauge, "Queues of the cluster.",
			func(s *Snapshot) float64 { return float64(s.ClusterQueues) }},
		{"brokerd_cluster_bindings", "", nil, gauge, "Bindings of the cluster.",
			func(s *Snapshot) float64 { return float64(s.Bindings) }},
	}
	list = append(list, messageFamilies()...)
	return append(list, resourceFamilies()...)
}

// messageFamilies are the counters of messages.
func messageFamilies() []family {
	list := []family{
		{"brokerd_messages_received_total", "rabbitmq_global_messages_received_total", protocol, counter, "Messages published by clients.",
			func(s *Snapshot) float64 { return float64(s.Server.Received) }},
		{"brokerd_messages_received_confirm_total", "rabbitmq_global_messages_received_confirm_total", protocol, counter,
			"Messages published by clients on channels in confirm mode.",
			func(s *Snapshot) float64 { return float64(s.Server.ReceivedConfirm) }},
		{"brokerd_messages_routed_total", "rabbitmq_global_messages_routed_total", protocol, counter,
			"Copies of messages that were given to queues.", func(s *Snapshot) float64 { return float64(s.Server.Routed) }},
		{"brokerd_messages_unroutable_dropped_total", "rabbitmq_global_messages_unroutable_dropped_total", protocol, counter,
			"Messages that no queue took and that were dropped.", func(s *Snapshot) float64 { return float64(s.Server.Dropped) }},
		{"brokerd_messages_unroutable_returned_total", "rabbitmq_global_messages_unroutable_returned_total", protocol, counter,
			"Messages that no queue took and that were returned.", func(s *Snapshot) float64 { return float64(s.Server.Returned) }},
		{"brokerd_messages_confirmed_total", "rabbitmq_global_messages_confirmed_total", protocol, counter,
			"Messages confirmed to publishers.", func(s *Snapshot) float64 { return float64(s.Server.Confirmed) }},
		{"brokerd_messages_refused_total", "", nil, counter, "Messages answered with basic.nack.",
			func(s *Snapshot) float64 { return float64(s.Server.Refused) }},
		{"brokerd_messages_delivered_total", "rabbitmq_global_messages_delivered_total", queueType, counter,
			"Messages delivered to consumers or by basic.get.", func(s *Snapshot) float64 {
				v := &s.Server
				return float64(v.DeliveredManualAck + v.DeliveredAutoAck + v.GotManualAck + v.GotAutoAck)
			}},
		{"brokerd_messages_delivered_consume_manual_ack_total", "rabbitmq_global_messages_delivered_consume_manual_ack_total", queueType,
			counter, "Messages delivered to consumers that acknowledge.",
			func(s *Snapshot) float64 { return float64(s.Server.DeliveredManualAck) }},
		{"brokerd_messages_delivered_consume_auto_ack_total", "rabbitmq_global_messages_delivered_consume_auto_ack_total", queueType,
			counter, "Messages delivered to consumers that do not acknowledge.",
			func(s *Snapshot) float64 { return float64(s.Server.DeliveredAutoAck) }},
		{"brokerd_messages_delivered_get_manual_ack_total", "rabbitmq_global_messages_delivered_get_manual_ack_total", queueType, counter,
			"Messages delivered by basic.get, to be acknowledged.", func(s *Snapshot) float64 { return float64(s.Server.GotManualAck) }},
		{"brokerd_messages_delivered_get_auto_ack_total", "rabbitmq_global_messages_delivered_get_auto_ack_total", queueType, counter,
			"Messages delivered by basic.get without acknowledgement.", func(s *Snapshot) float64 { return float64(s.Server.GotAutoAck) }},
		{"brokerd_messages_get_empty_total", "rabbitmq_global_messages_get_empty_total", queueType, counter,
			"Times that basic.get found nothing.", func(s *Snapshot) float64 { return float64(s.Server.GetEmpty) }},
		{"brokerd_messages_redelivered_total", "rabbitmq_global_messages_redelivered_total", queueType, counter,
			"Messages delivered again.", func(s *Snapshot) float64 { return float64(s.Server.Redelivered) }},
		{"brokerd_messages_acknowledged_total", "rabbitmq_global_messages_acknowledged_total", queueType, counter,
			"Messages acknowledged by consumers.", func(s *Snapshot) float64 { return float64(s.Server.Acknowledged) }},
	}
	for _, r := range []deadletter.Reason{deadletter.MaxLen, deadletter.Expired, deadletter.Rejected, deadletter.DeliveryLimit} {
		list = append(list, family{
			own:    "brokerd_messages_dead_lettered_" + r.String() + "_total",
			rabbit: "rabbitmq_global_messages_dead_lettered_" + r.String() + "_total",
			labels: prometheus.Labels{"queue_type": "rabbit_classic_queue", "dead_letter_strategy": "at_least_once"},
			kind:   counter,
			help:   "Messages given to a dead-letter exchange for the reason " + r.String() + ".",
			value:  func(s *Snapshot) float64 { return float64(s.Broker.DeadLettered[r]) },
		})
	}
	return list
}

// resourceFamilies are memory, disk and what limits them.
func resourceFamilies() []family {
	return []family{
		{"brokerd_memory_used_bytes", "", nil, gauge, "Memory of the process that counts against its limit.",
			func(s *Snapshot) float64 { return float64(s.MemoryUsed) }},
		{"brokerd_memory_limit_bytes", "rabbitmq_resident_memory_limit_bytes", nil, gauge, "Memory above which publishers are blocked.",
			func(s *Snapshot) float64 { return float64(s.MemoryLimit) }},
		{"brokerd_message_memory_bytes", "", nil, gauge, "Messages that queues hold in memory.",
			func(s *Snapshot) float64 { return float64(s.MessageMemory) }},
		{"brokerd_message_memory_limit_bytes", "", nil, gauge, "Memory that queues may take for messages.",
			func(s *Snapshot) float64 { return float64(s.MessageBudget) }},
		{"brokerd_disk_free_bytes", "rabbitmq_disk_space_available_bytes", nil, gauge, "Free space in the file system of the messages.",
			func(s *Snapshot) float64 { return float64(s.Store.Free) }},
		{"brokerd_disk_free_limit_bytes", "rabbitmq_disk_space_available_limit_bytes", nil, gauge,
			"Free space below which publishers are blocked.", func(s *Snapshot) float64 { return float64(s.DiskMinFree) }},
		{"brokerd_alarm_memory", "rabbitmq_alarms_memory_used_watermark", nil, gauge, "Whether publishers are blocked for want of memory.",
			func(s *Snapshot) float64 { return truth(s.MemoryAlarm) }},
		{"brokerd_alarm_disk", "rabbitmq_alarms_free_disk_space_watermark", nil, gauge,
			"Whether publishers are blocked for want of disk space.", func(s *Snapshot) float64 { return truth(s.DiskAlarm) }},
		{"", "rabbitmq_alarms_file_descriptor_limit", nil, gauge, "Whether the process has run out of file descriptors.",
			func(s *Snapshot) float64 { return truth(s.MaxFiles > 0 && s.OpenFiles >= s.MaxFiles) }},
		{"", "rabbitmq_process_open_fds", nil, gauge, "Open file descriptors.", func(s *Snapshot) float64 { return s.OpenFiles }},
		{"", "rabbitmq_process_max_fds", nil, gauge, "File descriptors that may be open.", func(s *Snapshot) float64 { return s.MaxFiles }},
		{"", "rabbitmq_process_resident_memory_bytes", nil, gauge, "Resident memory of the process.",
			func(s *Snapshot) float64 { return s.Resident }},

		{"brokerd_store_commits_total", "", nil, counter, "Group commits.", func(s *Snapshot) float64 { return float64(s.Store.Commits) }},
		{"brokerd_store_syncs_total", "", nil, counter, "Files synced.", func(s *Snapshot) float64 { return float64(s.Store.Syncs) }},
		{"brokerd_store_operations_total", "", nil, counter, "Operations completed.",
			func(s *Snapshot) float64 { return float64(s.Store.Ops) }},
		{"brokerd_store_written_bytes_total", "", nil, counter, "Blocks of messages written.",
			func(s *Snapshot) float64 { return float64(s.Store.Bytes) }},
		{"brokerd_store_loads_total", "", nil, counter, "Blocks loaded back into memory.",
			func(s *Snapshot) float64 { return float64(s.Store.Loads) }},
		{"brokerd_store_damaged_blocks_total", "", nil, counter, "Damaged blocks met.",
			func(s *Snapshot) float64 { return float64(s.Store.Corrupt) }},
		{"brokerd_store_reclaimed_files_total", "", nil, counter, "Files of deleted messages reclaimed.",
			func(s *Snapshot) float64 { return float64(s.Store.GCRuns) }},
		{"brokerd_store_live_bytes", "", nil, gauge, "Stored messages.", func(s *Snapshot) float64 { return float64(s.Store.Live) }},
		{"brokerd_store_disk_bytes", "", nil, gauge, "Disk space that the store takes.",
			func(s *Snapshot) float64 { return float64(s.Store.Disk) }},
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
