package conformance

// Rows of the recorded traces: arguments of queue.declare and basic.consume.
var argumentTraces = []conformanceCase{
	{id: "R210", about: "x-message-ttl = '10'", script: `
		> queue.declare queue=ka @x-message-ttl='10'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'ka' in vhost '/': "expected integer, got longstr" (50,10)`},
	{id: "R211", about: "x-message-ttl = -1", script: `
		> queue.declare queue=ka @x-message-ttl=-1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'ka' in vhost '/': {value_negative,-1} (50,10)`},
	{id: "R212", about: "x-message-ttl = 0", script: `
		> queue.declare queue=ka @x-message-ttl=0
		< queue.declare-ok queue=ka`},
	{id: "R213", about: "x-message-ttl = 1.5", script: `
		> queue.declare queue=ka @x-message-ttl=1.5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'ka' in vhost '/': "expected integer, got double" (50,10)`},
	{id: "R214", about: "x-message-ttl = true", script: `
		> queue.declare queue=ka @x-message-ttl=true
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'ka' in vhost '/': "expected integer, got bool" (50,10)`},
	{id: "R215", about: "x-message-ttl = 4294967296", script: `
		> queue.declare queue=ka @x-message-ttl=4294967296
		< queue.declare-ok queue=ka`},
	{id: "R216", about: "x-message-ttl = 9007199254740992", script: `
		> queue.declare queue=ka @x-message-ttl=9007199254740992
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'ka' in vhost '/': {value_too_large,9007199254740992} (50,10)`},
	{id: "R217", about: "x-expires = '10'", script: `
		> queue.declare queue=ka @x-expires='10'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'ka' in vhost '/': "expected integer, got longstr" (50,10)`},
	{id: "R218", about: "x-expires = -1", script: `
		> queue.declare queue=ka @x-expires=-1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'ka' in vhost '/': {value_negative,-1} (50,10)`},
	{id: "R219", about: "x-expires = 0", script: `
		> queue.declare queue=ka @x-expires=0
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'ka' in vhost '/': {value_zero,0} (50,10)`},
	{id: "R220", about: "x-expires = 1.5", script: `
		> queue.declare queue=ka @x-expires=1.5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'ka' in vhost '/': "expected integer, got double" (50,10)`},
	{id: "R221", about: "x-expires = true", script: `
		> queue.declare queue=ka @x-expires=true
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'ka' in vhost '/': "expected integer, got bool" (50,10)`},
	{id: "R222", about: "x-expires = 4294967296", script: `
		> queue.declare queue=ka @x-expires=4294967296
		< queue.declare-ok queue=ka`},
	{id: "R223", about: "x-expires = 9007199254740992", script: `
		> queue.declare queue=ka @x-expires=9007199254740992
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'ka' in vhost '/': {value_too_large,9007199254740992} (50,10)`},
	{id: "R224", about: "x-max-length = '10'", script: `
		> queue.declare queue=ka @x-max-length='10'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'ka' in vhost '/': "expected integer, got longstr" (50,10)`},
	{id: "R225", about: "x-max-length = -1", script: `
		> queue.declare queue=ka @x-max-length=-1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'ka' in vhost '/': {value_negative,-1} (50,10)`},
	{id: "R226", about: "x-max-length = 0", script: `
		> queue.declare queue=ka @x-max-length=0
		< queue.declare-ok queue=ka`},
	{id: "R227", about: "x-max-length = 1.5", script: `
		> queue.declare queue=ka @x-max-length=1.5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'ka' in vhost '/': "expected integer, got double" (50,10)`},
	{id: "R228", about: "x-max-length = true", script: `
		> queue.declare queue=ka @x-max-length=true
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'ka' in vhost '/': "expected integer, got bool" (50,10)`},
	{id: "R229", about: "x-max-length = 4294967296", script: `
		> queue.declare queue=ka @x-max-length=4294967296
		< queue.declare-ok queue=ka`},
	{id: "R230", about: "x-max-length = 9007199254740992", script: `
		> queue.declare queue=ka @x-max-length=9007199254740992
		< queue.declare-ok queue=ka`},
	{id: "R231", about: "x-max-length-bytes = '10'", script: `
		> queue.declare queue=ka @x-max-length-bytes='10'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length-bytes' for queue 'ka' in vhost '/': "expected integer, got longstr" (50,10)`},
	{id: "R232", about: "x-max-length-bytes = -1", script: `
		> queue.declare queue=ka @x-max-length-bytes=-1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length-bytes' for queue 'ka' in vhost '/': {value_negative,-1} (50,10)`},
	{id: "R233", about: "x-max-length-bytes = 0", script: `
		> queue.declare queue=ka @x-max-length-bytes=0
		< queue.declare-ok queue=ka`},
	{id: "R234", about: "x-max-length-bytes = 1.5", script: `
		> queue.declare queue=ka @x-max-length-bytes=1.5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length-bytes' for queue 'ka' in vhost '/': "expected integer, got double" (50,10)`},
	{id: "R235", about: "x-max-length-bytes = true", script: `
		> queue.declare queue=ka @x-max-length-bytes=true
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-length-bytes' for queue 'ka' in vhost '/': "expected integer, got bool" (50,10)`},
	{id: "R236", about: "x-max-length-bytes = 4294967296", script: `
		> queue.declare queue=ka @x-max-length-bytes=4294967296
		< queue.declare-ok queue=ka`},
	{id: "R237", about: "x-max-length-bytes = 9007199254740992", script: `
		> queue.declare queue=ka @x-max-length-bytes=9007199254740992
		< queue.declare-ok queue=ka`},
	{id: "R238", about: "x-max-priority = '10'", script: `
		> queue.declare queue=ka @x-max-priority='10'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'ka' in vhost '/': "expected integer, got longstr" (50,10)`},
	{id: "R239", about: "x-max-priority = -1", script: `
		> queue.declare queue=ka @x-max-priority=-1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'ka' in vhost '/': {value_negative,-1} (50,10)`},
	{id: "R240", about: "x-max-priority = 0", script: `
		> queue.declare queue=ka @x-max-priority=0
		< queue.declare-ok queue=ka`},
	{id: "R241", about: "x-max-priority = 1.5", script: `
		> queue.declare queue=ka @x-max-priority=1.5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'ka' in vhost '/': "expected integer, got double" (50,10)`},
	{id: "R242", about: "x-max-priority = true", script: `
		> queue.declare queue=ka @x-max-priority=true
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'ka' in vhost '/': "expected integer, got bool" (50,10)`},
	{id: "R243", about: "x-max-priority = 255", script: `
		> queue.declare queue=ka @x-max-priority=255
		< queue.declare-ok queue=ka`},
	{id: "R244", about: "x-max-priority = 256", script: `
		> queue.declare queue=ka @x-max-priority=256
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'ka' in vhost '/': {max_value_exceeded,256} (50,10)`},
	{id: "R245", about: "x-overflow = 'drop-head'", script: `
		> queue.declare queue=ka @x-overflow='drop-head'
		< queue.declare-ok queue=ka`},
	{id: "R246", about: "x-overflow = 'reject-publish'", script: `
		> queue.declare queue=ka @x-overflow='reject-publish'
		< queue.declare-ok queue=ka`},
	{id: "R247", about: "x-overflow = 'reject-publish-dlx'", script: `
		> queue.declare queue=ka @x-overflow='reject-publish-dlx'
		< queue.declare-ok queue=ka`},
	{id: "R248", about: "x-overflow = 'bogus'", script: `
		> queue.declare queue=ka @x-overflow='bogus'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-overflow' for queue 'ka' in vhost '/': invalid_overflow (50,10)`},
	{id: "R249", about: "x-overflow = 1", script: `
		> queue.declare queue=ka @x-overflow=1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-overflow' for queue 'ka' in vhost '/': {unacceptable_type,signedint} (50,10)`},
	{id: "R250", about: "x-dead-letter-exchange = ''", script: `
		> queue.declare queue=ka @x-dead-letter-exchange=''
		< queue.declare-ok queue=ka`},
	{id: "R251", about: "x-dead-letter-exchange = 'some.dlx'", script: `
		> queue.declare queue=ka @x-dead-letter-exchange='some.dlx'
		< queue.declare-ok queue=ka`},
	{id: "R252", about: "x-dead-letter-exchange = 5", script: `
		> queue.declare queue=ka @x-dead-letter-exchange=5
		< channel.close 406 PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'ka' in vhost '/' (50,10)`},
	{id: "R253", about: "x-dead-letter-routing-key alone", script: `
		> queue.declare queue=ka @x-dead-letter-routing-key='k'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue 'ka' in vhost '/': routing_key_but_no_dlx_defined (50,10)`},
	{id: "R254", about: "x-dead-letter-routing-key of type int", script: `
		> queue.declare queue=ka @x-dead-letter-exchange='' @x-dead-letter-routing-key=5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue 'ka' in vhost '/': {unacceptable_type,signedint} (50,10)`},
	{id: "R255", about: "x-queue-mode = 'lazy'", script: `
		> queue.declare queue=ka @x-queue-mode='lazy'
		< queue.declare-ok queue=ka`},
	{id: "R256", about: "x-queue-mode = 'default'", script: `
		> queue.declare queue=ka @x-queue-mode='default'
		< queue.declare-ok queue=ka`},
	{id: "R257", about: "x-queue-mode = 'bogus'", script: `
		> queue.declare queue=ka @x-queue-mode='bogus'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue 'ka' in vhost '/': "unsupported queue mode 'bogus'" (50,10)`},
	{id: "R258", about: "x-queue-mode = 5", script: `
		> queue.declare queue=ka @x-queue-mode=5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue 'ka' in vhost '/': {unacceptable_type,signedint} (50,10)`},
	{id: "R259", about: "x-single-active-consumer = true", script: `
		> queue.declare queue=ka @x-single-active-consumer=true
		< queue.declare-ok queue=ka`},
	{id: "R260", about: "x-single-active-consumer = false", script: `
		> queue.declare queue=ka @x-single-active-consumer=false
		< queue.declare-ok queue=ka`},
	{id: "R261", about: "x-single-active-consumer = 'true'", script: `
		> queue.declare queue=ka @x-single-active-consumer='true'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-single-active-consumer' for queue 'ka' in vhost '/': {unacceptable_type,longstr} (50,10)`},
	{id: "R262", about: "x-single-active-consumer = 1", script: `
		> queue.declare queue=ka @x-single-active-consumer=1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-single-active-consumer' for queue 'ka' in vhost '/': {unacceptable_type,signedint} (50,10)`},
	{id: "R263", about: "x-queue-type = 'classic'", script: `
		> queue.declare queue=ka @x-queue-type='classic'
		< queue.declare-ok queue=ka`},
	{id: "R264", about: "x-queue-type = 'bogus'", script: `
		> queue.declare queue=ka @x-queue-type='bogus'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'ka' in vhost '/': "unsupported queue type 'bogus'" (50,10)`},
	{id: "R265", about: "x-queue-type = 5", script: `
		> queue.declare queue=ka @x-queue-type=5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'ka' in vhost '/': {unacceptable_type,signedint} (50,10)`},
	{id: "R266", about: "x-queue-type = 'quorum'", script: `
		> queue.declare queue=ka @x-queue-type='quorum'
		< channel.close 406 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'ka' in vhost '/' (50,10)`},
	{id: "R267", about: "x-queue-type = 'stream'", script: `
		> queue.declare queue=ka @x-queue-type='stream'
		< channel.close 406 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'ka' in vhost '/' (50,10)`},
	{id: "R268", about: "x-queue-type quorum, durable, exclusive", script: `
		> queue.declare queue=ka durable exclusive @x-queue-type='quorum'
		< channel.close 406 PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'ka' in vhost '/' (50,10)`},
	{id: "R269", about: "x-queue-type quorum, durable", script: `
		> queue.declare queue=ka durable @x-queue-type='quorum'
		< queue.declare-ok queue=ka`},
	{id: "R270", about: "x-queue-version = 2", script: `
		> queue.declare queue=ka @x-queue-version=2
		< queue.declare-ok queue=ka`},
	{id: "R271", about: "x-queue-version = 3", script: `
		> queue.declare queue=ka @x-queue-version=3
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-queue-version' for queue 'ka' in vhost '/': "unsupported queue version '3'" (50,10)`},
	{id: "R272", about: "x-queue-master-locator = 'min-masters'", script: `
		> queue.declare queue=ka @x-queue-master-locator='min-masters'
		< queue.declare-ok queue=ka`},
	{id: "R273", about: "x-queue-master-locator = 'bogus'", script: `
		> queue.declare queue=ka @x-queue-master-locator='bogus'
		0< connection.close 541 INTERNAL_ERROR (0,0)`},
	{id: "R274", about: "x-unknown = 'anything'", script: `
		> queue.declare queue=ka @x-unknown='anything'
		< queue.declare-ok queue=ka`},
	{id: "R275", about: "x-delivery-limit = 3", script: `
		> queue.declare queue=ka @x-delivery-limit=3
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-delivery-limit' for queue 'ka' in vhost '/' of queue type rabbit_classic_queue (50,10)`},
	{id: "R276", about: "x-consumer-timeout = 'a'", script: `
		> queue.declare queue=ka @x-consumer-timeout='a'
		< queue.declare-ok queue=ka`},
	{id: "R277", about: "basic.consume x-priority = 'high'", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-priority='high'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'ka' in vhost '/': "expected integer, got longstr" (60,20)`},
	{id: "R278", about: "basic.consume x-priority = 5", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-priority=5
		< basic.consume-ok consumer-tag=t`},
	{id: "R279", about: "basic.consume x-priority = -5", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-priority=-5
		< basic.consume-ok consumer-tag=t`},
	{id: "R280", about: "basic.consume x-priority = 1.5", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-priority=1.5
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'ka' in vhost '/': "expected integer, got double" (60,20)`},
	{id: "R281", about: "basic.consume x-cancel-on-ha-failover = true", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-cancel-on-ha-failover=true
		< basic.consume-ok consumer-tag=t`},
	{id: "R282", about: "basic.consume x-cancel-on-ha-failover = 'yes'", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-cancel-on-ha-failover='yes'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue 'ka' in vhost '/': {unacceptable_type,longstr} (60,20)`},
	{id: "R283", about: "basic.consume x-stream-offset = 'bogus'", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-stream-offset='bogus'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'ka' in vhost '/' of queue type rabbit_classic_queue (60,20)`},
	{id: "R284", about: "basic.consume x-unknown = 1", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-unknown=1
		< basic.consume-ok consumer-tag=t`},
}
