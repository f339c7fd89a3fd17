"""The stores, queues and settings on AWS: the only room that imports boto3, besides `llm/bedrock_calls`."""
