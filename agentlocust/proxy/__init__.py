"""The metering and fault proxy: a process of its own, asyncio only, that passes bytes on as they are."""
