"""What tests leave behind on a Ceph cluster that others use, too."""

from dev.configuration import Configuration
from dev.infra import client


def delete_topics(configuration: Configuration) -> None:
    """Delete the topics of a bucket that is gone. A topic that can't be delivered keeps the cluster busy for ever."""
    sns = client("sns", configuration.endpoint, configuration.access_key, configuration.secret_key)
    for arn in {topic["TopicArn"] for topic in sns.list_topics()["Topics"]}:
        if configuration.bucket in arn:
            sns.delete_topic(TopicArn=arn)
