"""Create the topics of ``contracts.topics`` on a broker."""

from rich.console import Console

from contracts.topics import ALL_TOPICS
from local_stack.kafka_admin import create_topic


def create_topics(bootstrap_servers: str, console: Console) -> None:
    """Create every topic that does not exist yet.

    Raises:
        BrokerError: the broker refused one, or did not answer.
    """
    created = [
        topic.name
        for topic in ALL_TOPICS
        if create_topic(bootstrap_servers, topic.name, topic.partitions, topic.config)
    ]
    if created:
        console.print(f"created topics: {', '.join(created)}")
