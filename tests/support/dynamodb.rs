//! Requests to a DynamoDB beside the library under test, to prepare and to look.

use serde_json::{Value, json};

use super::http::{self, Message};

/// Shaped as Signature Version 4 wants it; local servers read the names in it and verify nothing.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=test/20300101/us-east-1/dynamodb/aws4_request, \
    SignedHeaders=host;x-amz-date;x-amz-target, Signature=0";

/// A DynamoDB at an `http://` URL.
#[derive(Clone, Debug)]
pub struct DynamoDb {
    url: String,
    authority: String,
}

impl DynamoDb {
    pub fn at(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            authority: http::authority(url),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A request for one operation, such as `GetItem`.
    pub fn request(&self, operation: &str, body: &Value) -> Message {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("host", self.authority.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", &target),
            ("x-amz-date", "20300101T000000Z"),
            ("authorization", AUTHORIZATION),
        ];
        Message {
            start: "POST / HTTP/1.1".to_owned(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            body: body.to_string().into_bytes(),
        }
    }

    /// One operation over a connection of its own: the status and the JSON of the answer.
    ///
    /// Panics where no answer or no JSON comes.
    pub async fn call(&self, operation: &str, body: &Value) -> (u16, Value) {
        let answer = http::exchange(&self.authority, &self.request(operation, body)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{operation} at {}: {error}", self.url));
        let status = answer.status().expect("an answer has a status");
        let json = serde_json::from_slice(&answer.body);
        let json = json.unwrap_or_else(|error| panic!("{operation} answered no JSON: {error}"));
        (status, json)
    }

    /// Like [`call`](Self::call), for what must succeed.
    pub async fn expect(&self, operation: &str, body: &Value) -> Value {
        let (status, answer) = self.call(operation, body).await;
        assert_eq!(status, 200, "{operation} {body} answered {answer}");
        answer
    }

    /// Creates a table; keys are (name, type), the type one of `S`, `N`, `B`.
    pub async fn create_table(
        &self,
        name: &str,
        partition_key: (&str, &str),
        sort_key: Option<(&str, &str)>,
    ) {
        let keys = [
            Some((partition_key, "HASH")),
            sort_key.map(|key| (key, "RANGE")),
        ];
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let schema = keys
            .iter()
            .map(|((name, _), role)| json!({"AttributeName": name, "KeyType": role}));
        let types = keys
            .iter()
            .map(|((name, kind), _)| json!({"AttributeName": name, "AttributeType": kind}));
        let request = json!({
            "TableName": name,
            "KeySchema": schema.collect::<Value>(),
            "AttributeDefinitions": types.collect::<Value>(),
            "BillingMode": "PAY_PER_REQUEST",
        });
        let answer = self.expect("CreateTable", &request).await;
        let status = answer["TableDescription"]["TableStatus"].as_str();
        if status != Some("ACTIVE") {
            self.wait_for_table(name).await;
        }
    }

    /// The item in DynamoDB's JSON; `None` where there is none.
    pub async fn get_item(&self, table: &str, key: &Value) -> Option<Value> {
        let request = json!({"TableName": table, "Key": key, "ConsistentRead": true});
        let mut answer = self.expect("GetItem", &request).await;
        answer.get_mut("Item").map(Value::take)
    }

    pub async fn put_item(&self, table: &str, item: &Value) {
        let request = json!({"TableName": table, "Item": item});
        self.expect("PutItem", &request).await;
    }

    pub async fn delete_item(&self, table: &str, key: &Value) {
        let request = json!({"TableName": table, "Key": key});
        self.expect("DeleteItem", &request).await;
    }

    pub async fn delete_table(&self, table: &str) {
        self.expect("DeleteTable", &json!({"TableName": table}))
            .await;
    }

    async fn wait_for_table(&self, name: &str) {
        for _ in 0..10_000 {
            let answer = self
                .expect("DescribeTable", &json!({"TableName": name}))
                .await;
            if answer["Table"]["TableStatus"] == "ACTIVE" {
                return;
            }
        }
        panic!("the table {name} does not become active");
    }
}
