"""The only types two services may share.

* ``topics``        topic names and their partitions
* ``events``        security events, user activity, on the wire
* ``transactions``  transaction events, on the wire and as columns
* ``alerts``        alerts, on the wire and in the REST API
* ``columns``       what the decoder produces and detection consumes
* ``decoder``       raw JSON bytes to columns; a bad record costs only itself
* ``views``         files and rows that the speed and batch layers publish
* ``lake``          where things lie in the lake
* ``kafka_access``  TLS and login of every Kafka client
* ``api``           bodies that the REST services exchange
* ``schemas``       JSON Schemas of the above
"""
